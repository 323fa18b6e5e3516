/* Sums fit int32 for blocks of up to 65,535 samples; the product takes 64 bits (one SMULL on a Cortex-M3 and above). */
#include "series.h"

#include <string.h>

#define SHIFT 24

static int8_t code(int32_t sum, int32_t multiplier) {
  const int64_t value = (int64_t)sum * multiplier + ((int64_t)128 << SHIFT) + ((int64_t)1 << (SHIFT - 1));
  if (value < 0) return -128; /* before the shift, which of a negative number is up to the compiler */
  return (value >> SHIFT) > 255 ? 127 : (int8_t)((value >> SHIFT) - 128);
}

static void clear(danas_series *state) {
  int32_t c;
  for (c = 0; c < state->view->channels; ++c) state->sums[c] = 0;
  state->samples = 0;
}

void danas_series_begin(danas_series *state, const danas_series_view *view, int32_t *sums, int8_t *rows) {
  state->view = view;
  state->sums = sums;
  state->rows = rows;
  state->row = 0;
  state->filled = 0;
  clear(state);
}

int danas_series_sample(danas_series *state, const int16_t *sample) {
  const danas_series_view *view = state->view;
  int8_t *row = state->rows + state->row * view->channels;
  int32_t c;
  for (c = 0; c < view->channels; ++c) state->sums[c] += sample[view->channel[c]];
  if (++state->samples < view->factor) return 0;
  for (c = 0; c < view->channels; ++c) row[c] = code(state->sums[c], view->multiplier[c]);
  state->row = state->row + 1 < view->length ? state->row + 1 : 0;
  if (state->filled < view->length) ++state->filled;
  clear(state);
  return 1;
}

int danas_series_input(const danas_series *state, int8_t *input) {
  const size_t row_bytes = (size_t)state->view->channels;
  const size_t newer = row_bytes * (size_t)state->row; /* the oldest row is the one that comes next */
  const size_t older = row_bytes * (size_t)(state->view->length - state->row);
  if (state->filled < state->view->length) return 0;
  memcpy(input, state->rows + newer, older);
  memcpy(input + older, state->rows, newer);
  return 1;
}

int danas_series_window(const danas_series_view *view, const int16_t *samples, int32_t count, int8_t *input) {
  const int32_t used = view->length * view->factor;
  int32_t row, c, i;
  if (count < used) return 0;
  samples += (size_t)(count - used) * (size_t)view->sensors;
  for (row = 0; row < view->length; ++row) {
    for (c = 0; c < view->channels; ++c) {
      int32_t sum = 0;
      for (i = 0; i < view->factor; ++i) sum += samples[(size_t)i * (size_t)view->sensors + view->channel[c]];
      *input++ = code(sum, view->multiplier[c]);
    }
    samples += (size_t)view->factor * (size_t)view->sensors;
  }
  return 1;
}

/* The arithmetic is derived in danas_jax/views/area.py: weights sum to 4096 per output pixel and axis; rows are rounded
 * to 1/16 grey level, columns to whole ones; every sum stays below 2^24.
 */
#include "preprocess.h"

#define ONE 4096            /* an output pixel */
#define LARGEST_SIDE 262000 /* 8192 times this fits int32 */

#if DANAS_FRAME_CHANNELS != DANAS_MODEL_CHANNELS && !(DANAS_FRAME_CHANNELS == 3 && DANAS_MODEL_CHANNELS == 1)
#error "DANAS_FRAME_CHANNELS: 3, or 1 for a network that reads 1 channel"
#endif

static danas_edge edge_start(int32_t source, int32_t target) {
  danas_edge edge;
  edge.at = 0;
  edge.denominator = 2 * source;
  edge.remainder = source; /* rounds half up */
  edge.step = 2 * ONE * target / edge.denominator;
  edge.step_remainder = 2 * ONE * target % edge.denominator;
  return edge;
}

static int32_t edge_next(danas_edge *edge) {
  edge->at += edge->step;
  edge->remainder += edge->step_remainder;
  if (edge->remainder >= edge->denominator) {
    edge->remainder -= edge->denominator;
    ++edge->at;
  }
  return edge->at;
}

int danas_preprocess_begin(danas_preprocessor *state, int32_t width, int32_t height, int8_t *input) {
  int32_t i;
  if (width < DANAS_MODEL_WIDTH || height < DANAS_MODEL_HEIGHT || width > LARGEST_SIDE || height > LARGEST_SIDE) {
    return 0;
  }
  state->rows = edge_start(height, DANAS_MODEL_HEIGHT);
  state->columns = edge_start(width, DANAS_MODEL_WIDTH);
  state->width = width;
  state->row = 0;
  state->input = input;
  for (i = 0; i < DANAS_MODEL_WIDTH * DANAS_FRAME_CHANNELS; ++i) state->sums[i] = 0;
  return 1;
}

static int8_t *put_pixel(int8_t *input, const uint8_t *pixel) {
#if DANAS_MODEL_CHANNELS == DANAS_FRAME_CHANNELS
  int c;
  for (c = 0; c < DANAS_MODEL_CHANNELS; ++c) *input++ = DANAS_MODEL_INPUT(pixel[c]);
#else
  *input++ = DANAS_MODEL_INPUT(DANAS_MODEL_GREY(pixel[0], pixel[1], pixel[2]));
#endif
  return input;
}

static void convert_row(danas_preprocessor *state, const uint8_t *row) {
  int32_t x;
  for (x = 0; x < DANAS_MODEL_WIDTH; ++x, row += DANAS_FRAME_CHANNELS) state->input = put_pixel(state->input, row);
}

static void resize_row(danas_preprocessor *state, const uint8_t *row) {
  /* a source row ends one output row and begins the next at most, and so do columns */
  const int32_t top = state->rows.at, bottom = edge_next(&state->rows), end = ONE * (state->row + 1);
  const int ends = bottom >= end;
  const int32_t above = (ends ? end : bottom) - top, below = bottom - top - above;
  danas_edge columns = state->columns;
  int32_t left = 0, column_end = ONE, x, *sums = state->sums;
  int32_t across[DANAS_FRAME_CHANNELS];
  uint8_t pixel[DANAS_FRAME_CHANNELS];
  int c;
  for (c = 0; c < DANAS_FRAME_CHANNELS; ++c) across[c] = 128;
  for (x = 0; x < state->width; ++x, row += DANAS_FRAME_CHANNELS) {
    const int32_t right = edge_next(&columns);
    const int32_t before = (right < column_end ? right : column_end) - left, after = right - left - before;
    left = right;
    for (c = 0; c < DANAS_FRAME_CHANNELS; ++c) across[c] += before * row[c];
    if (right < column_end) continue;
    column_end += ONE;
    for (c = 0; c < DANAS_FRAME_CHANNELS; ++c, ++sums) {
      const int32_t value = across[c] >> 8;
      across[c] = 128 + after * row[c];
      *sums += above * value;
      if (ends) {
        pixel[c] = (uint8_t)((*sums + 32768) >> 16);
        *sums = below * value;
      }
    }
    if (ends) state->input = put_pixel(state->input, pixel);
  }
  state->row += ends;
}

void danas_preprocess_row(danas_preprocessor *state, const uint8_t *row) {
  if (state->rows.step == ONE && state->columns.step == ONE) {
    convert_row(state, row); /* a frame of the input's size */
  } else {
    resize_row(state, row);
  }
}

int danas_preprocess(const uint8_t *frame, int32_t width, int32_t height, int8_t *input) {
  static danas_preprocessor state;
  int32_t y;
  if (!danas_preprocess_begin(&state, width, height, input)) return 0;
  for (y = 0; y < height; ++y, frame += DANAS_FRAME_CHANNELS * width) danas_preprocess_row(&state, frame);
  return 1;
}

/* Numbers fit int32 but for the products of twiddles (46 bits, one SMULL each on a Cortex-M3 and above), the power and
 * its sums. The frame is transformed in place, as half as many complex points.
 */
#include "mel.h"

#include <string.h>

#define DCT_SHIFT 23
#define HEADROOM_BITS 29
#define POWER_SHIFT 6

/* views/mel.py rounds down; C leaves it to the compiler what becomes of the sign. All that we know keep it. */
#if (-3 >> 1) != -2
#error "this compiler does not shift the sign in"
#endif

static const uint16_t log2_table[65] = { /* 4096 log2(1 + i / 64) */
    0,    92,   182,  271,  358,  445,  530,  613,  696,  778,  858,  937,  1016, 1093, 1169, 1244, 1319,
    1392, 1465, 1536, 1607, 1677, 1746, 1814, 1882, 1949, 2015, 2080, 2145, 2208, 2272, 2334, 2396, 2457,
    2518, 2578, 2637, 2696, 2754, 2812, 2869, 2926, 2982, 3037, 3092, 3146, 3200, 3254, 3307, 3359, 3412,
    3463, 3514, 3565, 3615, 3665, 3715, 3764, 3812, 3861, 3908, 3956, 4003, 4050, 4096};

static int32_t clipped(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : value > high ? high : value;
}

static int32_t bit_length(uint32_t value) {
  int32_t bits = 0;
  for (; value; value >>= 1) ++bits;
  return bits;
}

/* 4096 log2 of a positive number */
static int32_t log2_q12(int64_t value) {
  const int32_t exponent = (value >> 32 ? 32 + bit_length((uint32_t)(value >> 32)) : bit_length((uint32_t)value)) - 1;
  const int32_t mantissa = (int32_t)(exponent < 15 ? value << (15 - exponent) : value >> (exponent - 15));
  const int32_t i = (mantissa >> 9) - 64;
  return 4096 * exponent + log2_table[i] + (((log2_table[i + 1] - log2_table[i]) * (mantissa & 511)) >> 9);
}

/* the sound's samples times the window, scaled to 29 bits and padded; by how many bits */
static int32_t scaled(const danas_mel_view *view, const int16_t *sound, int32_t *spectrum) {
  int32_t n, shift, peak = 0;
  for (n = 0; n < view->window; ++n) {
    const int32_t value = (int32_t)sound[n] * view->hann[n];
    spectrum[n] = value;
    if (value > peak) peak = value;
    if (-value > peak) peak = -value;
  }
  for (; n < view->size; ++n) spectrum[n] = 0;
  shift = peak ? HEADROOM_BITS - bit_length((uint32_t)peak) : 0;
  for (n = 0; n < view->window; ++n) {
    /* a product, as a negative number must not be shifted left */
    spectrum[n] = shift < 0 ? spectrum[n] >> 1 : spectrum[n] * ((int32_t)1 << shift);
  }
  return shift;
}

/* *real + i *imaginary times exp(-2 pi i k / size) */
static void turn(const danas_mel_view *view, int32_t k, int32_t *real, int32_t *imaginary) {
  const int64_t sine = view->sine[k], cosine = view->sine[k + view->size / 4];
  const int64_t across = cosine * *real + sine * *imaginary, down = cosine * *imaginary - sine * *real;
  *real = (int32_t)(across >> 15);
  *imaginary = (int32_t)(down >> 15);
}

static void reverse_bits(int32_t *z, int32_t points) {
  int32_t i, j = 0, bit;
  for (i = 1; i < points; ++i) {
    for (bit = points >> 1; j & bit; bit >>= 1) j ^= bit;
    j |= bit;
    if (i < j) {
      const int32_t real = z[2 * i], imaginary = z[2 * i + 1];
      z[2 * i] = z[2 * j];
      z[2 * i + 1] = z[2 * j + 1];
      z[2 * j] = real;
      z[2 * j + 1] = imaginary;
    }
  }
}

static void transform(const danas_mel_view *view, int32_t *z) {
  const int32_t points = view->size / 2;
  int32_t half, first, j;
  reverse_bits(z, points);
  for (half = 1; half < points; half *= 2) {
    for (j = 0; j < half; ++j) {
      for (first = j; first < points; first += 2 * half) {
        int32_t *a = z + 2 * first, *b = a + 2 * half;
        const int32_t a_real = a[0], a_imaginary = a[1];
        int32_t real = b[0], imaginary = b[1];
        if (j) turn(view, j * (points / half), &real, &imaginary);
        a[0] = (a_real + real) >> 1;
        a[1] = (a_imaginary + imaginary) >> 1;
        b[0] = (a_real - real) >> 1;
        b[1] = (a_imaginary - imaginary) >> 1;
      }
    }
  }
}

/* of the spectral bin k, out of the transform of half as many points */
static int64_t power(const danas_mel_view *view, const int32_t *z, int32_t k) {
  const int32_t *there = z + 2 * k, *back = z + view->size - 2 * k;
  int32_t real = (there[1] + back[1]) >> 1, imaginary = (back[0] - there[0]) >> 1;
  turn(view, k, &real, &imaginary);
  real = (((there[0] + back[0]) >> 1) + real) >> POWER_SHIFT;
  imaginary = (((there[1] - back[1]) >> 1) + imaginary) >> POWER_SHIFT;
  return (int64_t)real * real + (int64_t)imaginary * imaginary;
}

static void measure(const danas_mel_view *view, const int32_t *z, int32_t shift, int32_t *levels) {
  int32_t segment, k = view->start[0];
  int64_t before = 0; /* what the segment before gave the triangle that falls now */
  for (segment = 0; segment <= view->mel_bins; ++segment) {
    int64_t total = 0, rising = 0;
    for (; k < view->start[segment + 1]; ++k) {
      const int64_t found = power(view, z, k);
      total += found;
      rising += found * view->rise[k - view->start[0]];
    }
    if (segment) {
      const int64_t sum = before + 4096 * total - rising;
      const int32_t level = sum ? log2_q12(sum) - 8192 * shift - view->floor : 0;
      levels[segment - 1] = clipped(level, 0, view->span);
    }
    before = rising;
  }
}

static void write_row(const danas_mel_view *view, const int32_t *levels, int8_t *row) {
  int32_t q, j;
  if (!view->mfccs) {
    for (j = 0; j < view->mel_bins; ++j) row[j] = (int8_t)((255 * levels[j] + view->span / 2) / view->span - 128);
  }
  for (q = 0; q < view->mfccs; ++q) {
    int64_t sum = (int64_t)1 << (DCT_SHIFT - 1);
    for (j = 0; j < view->mel_bins; ++j) sum += (int64_t)view->dct[q * view->mel_bins + j] * levels[j];
    row[q] = (int8_t)(clipped((int32_t)(sum >> DCT_SHIFT) + (q ? 128 : 0), 0, 255) - 128);
  }
}

static int32_t width(const danas_mel_view *view) { return view->mfccs ? view->mfccs : view->mel_bins; }

static void frame(danas_mel *state) {
  const danas_mel_view *view = state->view;
  const danas_mel_memory *memory = &state->memory;
  const int32_t kept = view->window - view->hop;
  const int32_t shift = scaled(view, memory->sound, memory->spectrum);
  transform(view, memory->spectrum);
  measure(view, memory->spectrum, shift, memory->levels);
  write_row(view, memory->levels, memory->rows + state->row * width(view));
  state->row = state->row + 1 < view->frames ? state->row + 1 : 0;
  if (state->rows < view->frames) ++state->rows;
  memmove(memory->sound, memory->sound + view->hop, (size_t)kept * sizeof *memory->sound);
  state->filled = kept;
}

/* 1 where `sample` completes one after decimation, which is then *out */
static int decimated(danas_mel *state, int16_t sample, int16_t *out) {
  const danas_mel_view *view = state->view;
  const int16_t *oldest;
  int32_t k, sum = 1 << 14;
  if (view->factor == 1) {
    *out = sample;
    return 1;
  }
  /* written twice, so that the last `taps` samples are always in a row */
  state->memory.history[state->newest] = state->memory.history[state->newest + view->taps] = sample;
  state->newest = state->newest + 1 < view->taps ? state->newest + 1 : 0;
  if (++state->pending < view->factor) return 0;
  state->pending = 0;
  oldest = state->memory.history + state->newest;
  for (k = 0; k < view->taps; ++k) sum += view->tap[k] * oldest[k]; /* the taps are symmetric */
  *out = (int16_t)clipped(sum >> 15, -32768, 32767);
  return 1;
}

void danas_mel_begin(danas_mel *state, const danas_mel_view *view, const danas_mel_memory *memory) {
  int32_t k;
  memset(state, 0, sizeof *state);
  state->view = view;
  state->memory = *memory;
  for (k = 0; k < 2 * view->taps; ++k) memory->history[k] = 0;
}

int32_t danas_mel_samples(danas_mel *state, const int16_t *sound, int32_t count) {
  int32_t completed = 0, i;
  for (i = 0; i < count; ++i) {
    if (!decimated(state, sound[i], state->memory.sound + state->filled)) continue;
    if (++state->filled < state->view->window) continue;
    frame(state);
    ++completed;
  }
  return completed;
}

int danas_mel_input(const danas_mel *state, int8_t *input) {
  const size_t row_bytes = (size_t)width(state->view);
  const size_t newer = row_bytes * (size_t)state->row; /* the oldest row is the one that comes next */
  const size_t older = row_bytes * (size_t)(state->view->frames - state->row);
  if (state->rows < state->view->frames) return 0;
  memcpy(input, state->memory.rows + newer, older);
  memcpy(input + older, state->memory.rows, newer);
  return 1;
}

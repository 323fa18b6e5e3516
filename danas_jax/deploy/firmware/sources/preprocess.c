/* The arithmetic is derived in danas_jax/views/resize.py: weights sum to 4096 per output pixel and axis; rows are rounded
 * to 1/16 grey level, columns to whole ones; every sum stays below 2^24.
 */
#include "preprocess.h"

#define ONE 4096            /* an output pixel */
#define LARGEST_SIDE 262000 /* 8192 times this fits int32 */

#if DANAS_FRAME_CHANNELS != DANAS_MODEL_CHANNELS && !(DANAS_FRAME_CHANNELS == 3 && DANAS_MODEL_CHANNELS == 1)
#error "DANAS_FRAME_CHANNELS: 3, or 1 for a network that reads 1 channel"
#endif

static danas_edge edge_start(int32_t begin, int32_t step, int32_t denominator) {
  danas_edge edge;
  edge.denominator = denominator;
  edge.at = begin / denominator;
  edge.remainder = begin % denominator;
  edge.step = step / denominator;
  edge.step_remainder = step % denominator;
  return edge;
}

static danas_edge axis_start(int32_t source, int32_t target) {
#if DANAS_MODEL_BILINEAR
  return edge_start(ONE * (source - target) + target, 2 * ONE * source, 2 * target);
#else
  return edge_start(source, 2 * ONE * target, 2 * source); /* rounds half up */
#endif
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
  state->rows = axis_start(height, DANAS_MODEL_HEIGHT);
  state->columns = axis_start(width, DANAS_MODEL_WIDTH);
  state->width = width;
  state->height = height;
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

/* What a source row adds to the output row that is being summed, and to the one after it if it ends that. */
typedef struct {
  int32_t above, below;
  int ends;
} row_share;

/* One output column of a source row: `across` is 4096 times it, rounding included. */
static void add_column(danas_preprocessor *state, int32_t *sums, const int32_t *across, const row_share *share) {
  uint8_t pixel[DANAS_FRAME_CHANNELS];
  int c;
  for (c = 0; c < DANAS_FRAME_CHANNELS; ++c) {
    const int32_t value = across[c] >> 8;
    sums[c] += share->above * value;
    if (share->ends) {
      pixel[c] = (uint8_t)((sums[c] + 32768) >> 16);
      sums[c] = share->below * value;
    }
  }
  if (share->ends) state->input = put_pixel(state->input, pixel);
}

#if DANAS_MODEL_BILINEAR

static void resize_row(danas_preprocessor *state, const uint8_t *row) {
  /* an output row reads two source rows, or one; those of the next begin with the second at the earliest */
  const int32_t y = state->row++, first = state->rows.at / ONE, weight = state->rows.at % ONE;
  row_share share;
  danas_edge columns = state->columns;
  int32_t x, across[DANAS_FRAME_CHANNELS], *sums = state->sums;
  int c;
  if (y < first) return;
  share.above = y == first ? ONE - weight : weight;
  share.below = 0;
  share.ends = y > first || weight == 0;
  if (share.ends) {
    const int32_t next = edge_next(&state->rows);
    if (next / ONE == y) share.below = ONE - next % ONE;
  }
  for (x = 0; x < DANAS_MODEL_WIDTH; ++x, sums += DANAS_FRAME_CHANNELS, edge_next(&columns)) {
    const int32_t right = columns.at % ONE;
    const uint8_t *pixel = row + DANAS_FRAME_CHANNELS * (columns.at / ONE);
    for (c = 0; c < DANAS_FRAME_CHANNELS; ++c) {
      across[c] = 128 + (ONE - right) * pixel[c];
      if (right) across[c] += right * pixel[DANAS_FRAME_CHANNELS + c];
    }
    add_column(state, sums, across, &share);
  }
}

#else

static void resize_row(danas_preprocessor *state, const uint8_t *row) {
  /* a source row ends one output row and begins the next at most, and so do columns */
  const int32_t top = state->rows.at, bottom = edge_next(&state->rows), end = ONE * (state->row + 1);
  row_share share;
  danas_edge columns = state->columns;
  int32_t left = 0, column_end = ONE, x, *sums = state->sums;
  int32_t across[DANAS_FRAME_CHANNELS];
  int c;
  share.ends = bottom >= end;
  share.above = (share.ends ? end : bottom) - top;
  share.below = bottom - top - share.above;
  for (c = 0; c < DANAS_FRAME_CHANNELS; ++c) across[c] = 128;
  for (x = 0; x < state->width; ++x, row += DANAS_FRAME_CHANNELS) {
    const int32_t right = edge_next(&columns);
    const int32_t before = (right < column_end ? right : column_end) - left, after = right - left - before;
    left = right;
    for (c = 0; c < DANAS_FRAME_CHANNELS; ++c) across[c] += before * row[c];
    if (right < column_end) continue;
    column_end += ONE;
    add_column(state, sums, across, &share);
    sums += DANAS_FRAME_CHANNELS;
    for (c = 0; c < DANAS_FRAME_CHANNELS; ++c) across[c] = 128 + after * row[c];
  }
  state->row += share.ends;
}

#endif

void danas_preprocess_row(danas_preprocessor *state, const uint8_t *row) {
  if (state->height == DANAS_MODEL_HEIGHT && state->width == DANAS_MODEL_WIDTH) {
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

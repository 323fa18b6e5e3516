/* What is seen of a frame is as in danas_jax/views/frame.py. The arithmetic is derived in danas_jax/views/resize.py: weights
 * sum to 4096 per output pixel and axis; rows are rounded to 1/16 grey level, columns to whole ones; every sum stays below
 * 2^24.
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

#if DANAS_MODEL_FIT

/* The largest part of [height][width] with the aspect of [other_height][other_width], in its middle. */
static danas_box centred(int32_t height, int32_t width, int32_t other_height, int32_t other_width) {
  danas_box inner = {0, 0, height, width};
  if (width * other_height > height * other_width) {
    inner.width = (2 * height * other_width + other_height) / (2 * other_height);
    if (inner.width < 1) inner.width = 1;
  } else {
    inner.height = (2 * width * other_height + other_width) / (2 * other_width);
    if (inner.height < 1) inner.height = 1;
  }
  inner.top = (height - inner.height) / 2;
  inner.left = (width - inner.width) / 2;
  return inner;
}

#endif

static int8_t *put_pixel(int8_t *input, const uint8_t *pixel) {
#if DANAS_MODEL_CHANNELS == DANAS_FRAME_CHANNELS
  int c;
  for (c = 0; c < DANAS_MODEL_CHANNELS; ++c) *input++ = DANAS_MODEL_INPUT(pixel[c]);
#else
  *input++ = DANAS_MODEL_INPUT(DANAS_MODEL_GREY(pixel[0], pixel[1], pixel[2]));
#endif
  return input;
}

int danas_preprocess_begin(danas_preprocessor *state, int32_t width, int32_t height, int8_t *input) {
  danas_box shown = {0, 0, DANAS_MODEL_HEIGHT, DANAS_MODEL_WIDTH};
  int32_t i;
  if (width < 1 || height < 1 || width > LARGEST_SIDE || height > LARGEST_SIDE) return 0;
  state->seen.top = state->seen.left = 0;
  state->seen.height = height;
  state->seen.width = width;
#if DANAS_MODEL_FIT == 1
  state->seen = centred(height, width, DANAS_MODEL_HEIGHT, DANAS_MODEL_WIDTH);
#elif DANAS_MODEL_FIT == 2
  shown = centred(DANAS_MODEL_HEIGHT, DANAS_MODEL_WIDTH, height, width);
#endif
  if (state->seen.width < shown.width || state->seen.height < shown.height) return 0;
#if DANAS_MODEL_FIT == 2
  {
    static const uint8_t grey[3] = {128, 128, 128};
    int8_t *pixel = input;
    for (i = 0; i < DANAS_MODEL_WIDTH * DANAS_MODEL_HEIGHT; ++i) pixel = put_pixel(pixel, grey);
  }
#endif
  state->rows = axis_start(state->seen.height, shown.height);
  state->columns = axis_start(state->seen.width, shown.width);
  state->height = shown.height;
  state->width = shown.width;
  state->frame_row = 0;
  state->row = 0;
  state->left = shown.left;
  state->right = DANAS_MODEL_WIDTH - shown.left - shown.width;
  state->input = input + DANAS_MODEL_CHANNELS * DANAS_MODEL_WIDTH * shown.top;
  for (i = 0; i < shown.width * DANAS_FRAME_CHANNELS; ++i) state->sums[i] = 0;
  return 1;
}

/* What was filled with grey. */
static void leave_out(danas_preprocessor *state, int32_t pixels) { state->input += DANAS_MODEL_CHANNELS * pixels; }

static void convert_row(danas_preprocessor *state, const uint8_t *row) {
  int32_t x;
  leave_out(state, state->left);
  for (x = 0; x < state->width; ++x, row += DANAS_FRAME_CHANNELS) state->input = put_pixel(state->input, row);
  leave_out(state, state->right);
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
    leave_out(state, state->left);
  }
  for (x = 0; x < state->width; ++x, sums += DANAS_FRAME_CHANNELS, edge_next(&columns)) {
    const int32_t right = columns.at % ONE;
    const uint8_t *pixel = row + DANAS_FRAME_CHANNELS * (columns.at / ONE);
    for (c = 0; c < DANAS_FRAME_CHANNELS; ++c) {
      across[c] = 128 + (ONE - right) * pixel[c];
      if (right) across[c] += right * pixel[DANAS_FRAME_CHANNELS + c];
    }
    add_column(state, sums, across, &share);
  }
  if (share.ends) leave_out(state, state->right);
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
  if (share.ends) leave_out(state, state->left);
  for (x = 0; x < state->seen.width; ++x, row += DANAS_FRAME_CHANNELS) {
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
  if (share.ends) leave_out(state, state->right);
}

#endif

void danas_preprocess_row(danas_preprocessor *state, const uint8_t *row) {
  const int32_t y = state->frame_row++ - state->seen.top;
  if (y < 0 || y >= state->seen.height) return;
  row += DANAS_FRAME_CHANNELS * state->seen.left;
  if (state->seen.height == state->height && state->seen.width == state->width) {
    convert_row(state, row); /* of the size that it has in the input */
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

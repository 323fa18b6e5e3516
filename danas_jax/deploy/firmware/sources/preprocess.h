/* A camera's frame to the network's input, in integers, bit for bit the view that the network was trained on.
 *
 * Resize to DANAS_MODEL_WIDTH x DANAS_MODEL_HEIGHT (area, or bilinear by DANAS_MODEL_BILINEAR), then grey where a colour
 * frame meets a network of 1 channel, then the bits that it reads, then pixel - 128. Frames are 8 bits a channel,
 * DANAS_FRAME_CHANNELS interleaved (3: R, G, B; 1: grey, only for a network of 1 channel). Of frames of another shape than
 * the input's, DANAS_MODEL_FIT says what is seen: 0: everything, squashed; 1: the centre, the largest part of its shape;
 * 2: everything in its shape, with grey beside it. What is seen is at least as large as what it becomes: the resize only
 * shrinks. Rows are taken one by one, so a camera that delivers rows needs no buffer for the frame.
 */
#ifndef DANAS_PREPROCESS_H_
#define DANAS_PREPROCESS_H_

#include <stdint.h>

#include "firmware_config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Area: where source pixels end, in 1/4096 of an output pixel. Bilinear: where output pixels have their centres, in 1/4096
 * of a source pixel from the first one's. Rounded; kept as a running quotient: no division per pixel. */
typedef struct {
  int32_t at, step;
  int32_t remainder, step_remainder, denominator;
} danas_edge;

/* A part of a picture, in pixels. */
typedef struct {
  int32_t top, left, height, width;
} danas_box;

typedef struct {
  danas_edge rows, columns; /* columns: as each row begins */
  danas_box seen;           /* of the frame */
  int32_t height, width;    /* of what it becomes in the input: all of it, but for DANAS_MODEL_FIT 2 */
  int32_t left, right;      /* pixels of the input beside that */
  int32_t frame_row;        /* number of the next row of the frame */
  int32_t row;              /* number of the output row that is being summed (area), of the next input row (bilinear) */
  int8_t *input;            /* where the next output row goes */
  int32_t sums[DANAS_MODEL_WIDTH * DANAS_FRAME_CHANNELS];
} danas_preprocessor;

/* Before the first row. 0 where what is seen of the frame would have to grow, or a frame is larger than 262,000 pixels a side, else 1. */
int danas_preprocess_begin(danas_preprocessor *state, int32_t width, int32_t height, int8_t *input);

/* The next row of the frame, [width][DANAS_FRAME_CHANNELS], seen or not; the input is complete after the last one. */
void danas_preprocess_row(danas_preprocessor *state, const uint8_t *row);

/* A whole frame, [height][width][DANAS_FRAME_CHANNELS]; returns what danas_preprocess_begin does. */
int danas_preprocess(const uint8_t *frame, int32_t width, int32_t height, int8_t *input);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_PREPROCESS_H_ */

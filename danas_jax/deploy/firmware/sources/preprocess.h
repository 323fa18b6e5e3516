/* A camera's frame to the network's input, in integers, bit for bit the view that the network was trained on.
 *
 * Resize to DANAS_MODEL_WIDTH x DANAS_MODEL_HEIGHT (area, or bilinear by DANAS_MODEL_BILINEAR), then grey where a colour
 * frame meets a network of 1 channel, then the bits that it reads, then pixel - 128. Frames are 8 bits a channel, DANAS_FRAME_CHANNELS interleaved (3: R, G, B; 1: grey, only for a
 * network of 1 channel), and at least as large as the input: the resize only shrinks. Other shapes than squares are
 * squashed. Rows are taken one by one, so a camera that delivers rows needs no buffer for the frame.
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

typedef struct {
  danas_edge rows, columns; /* columns: as each row begins */
  int32_t width, height;    /* of the frame */
  int32_t row;              /* number of the output row that is being summed (area), of the next input row (bilinear) */
  int8_t *input;            /* where the next output row goes */
  int32_t sums[DANAS_MODEL_WIDTH * DANAS_FRAME_CHANNELS];
} danas_preprocessor;

/* Before the first row. 0 where the frame is smaller than the input or larger than 262,000 pixels a side, else 1. */
int danas_preprocess_begin(danas_preprocessor *state, int32_t width, int32_t height, int8_t *input);

/* The next row of the frame, [width][DANAS_FRAME_CHANNELS]; the input is complete after the last one. */
void danas_preprocess_row(danas_preprocessor *state, const uint8_t *row);

/* A whole frame, [height][width][DANAS_FRAME_CHANNELS]; returns what danas_preprocess_begin does. */
int danas_preprocess(const uint8_t *frame, int32_t width, int32_t height, int8_t *input);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_PREPROCESS_H_ */

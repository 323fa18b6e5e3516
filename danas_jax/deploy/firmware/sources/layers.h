/* The int8 network in plain C: layers in the order of their execution, one static arena, nothing allocated.
 * The answers are those of TensorFlow Lite Micro's reference kernels, bit for bit.
 */
#ifndef DANAS_LAYERS_H_
#define DANAS_LAYERS_H_

#include <stdint.h>

/* a dense layer is a 1x1 conv */
typedef enum { DANAS_CONV, DANAS_DEPTHWISE, DANAS_ADD, DANAS_AVERAGE_POOL, DANAS_MAX_POOL } danas_op;

typedef struct {
  danas_op op;
  int32_t kernel_height, kernel_width, stride, pad_top, pad_left;
  int32_t in_height, in_width, in_channels;
  int32_t out_height, out_width, out_channels;
  int32_t input, other, output;                   /* where the tensors lie in the arena [B]; other: of DANAS_ADD only */
  int32_t input_zero, other_zero, output_zero;    /* zero points */
  int32_t low, high;                              /* int8 range that the activation leaves */
  const int8_t *weights;                          /* conv [out][k_h][k_w][in], depthwise [k_h][k_w][c] */
  const int32_t *bias;                            /* [out] */
  const int32_t *multipliers;                     /* [out]; DANAS_ADD: of input, other and output */
  const int8_t *shifts;                           /* likewise: real = multiplier * 2^(shift - 31) */
} danas_layer;

/* kernels.c: one layer on the arena */
void danas_run_layer(const danas_layer *layer, int8_t *arena);

/* layers.c: the network, generated */
extern const danas_layer danas_layers[];
extern const int danas_layer_count;
extern const int32_t danas_arena_bytes, danas_input_offset, danas_output_offset;
extern int8_t danas_arena[];

#endif /* DANAS_LAYERS_H_ */

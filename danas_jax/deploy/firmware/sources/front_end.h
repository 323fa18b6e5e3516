/* From what the board reads to the network's input: front_end_image.c, front_end_audio.c or front_end_series.c.
 *
 * An example comes in portions (firmware_config.h says of which size), so that sound and sensors need no buffer for all
 * of it: begin, every portion, then the input.
 */
#ifndef DANAS_FRONT_END_H_
#define DANAS_FRONT_END_H_

#include <stdint.h>

#include "firmware_config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Before the first portion of an example. */
void danas_front_end_begin(void);

/* The next `count` numbers, which stay where they are until the input is made. */
void danas_front_end_take(const danas_raw *portion, int32_t count);

/* After the last portion: int8 [height][width][channels]; 0 where the example gives none, else 1. */
int danas_front_end_input(int8_t *input);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_FRONT_END_H_ */

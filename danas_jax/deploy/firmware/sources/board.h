/* What the program needs of a board. Yours differs in where frames come from: see board_frame. */
#ifndef DANAS_BOARD_H_
#define DANAS_BOARD_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void board_start(void);
int board_frame(uint8_t *frame);    /* waits for a frame of DANAS_FRAME_BYTES; 0 when no further one comes */
void board_write(const char *text); /* to the serial port */
uint64_t board_time_ns(void);       /* since the start */
void board_stop(int status);        /* does not return; 0: all is well */

#ifdef __cplusplus
}
#endif

#endif /* DANAS_BOARD_H_ */

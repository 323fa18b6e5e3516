/* What the program needs of a board. Yours differs in where examples come from: see board_read. */
#ifndef DANAS_BOARD_H_
#define DANAS_BOARD_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void board_start(void);
int board_read(void *portion, int32_t bytes); /* waits for the next part of an example; 0 where none comes */
void board_write(const char *text);           /* to the serial port */
uint64_t board_time_ns(void);                 /* since the start */
void board_stop(int status);                  /* does not return; 0: all is well */

#ifdef __cplusplus
}
#endif

#endif /* DANAS_BOARD_H_ */

/* This machine as the board: frames from standard input, text to standard output. */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "board.h"
#include "firmware_config.h"

void board_start(void) {}

int board_frame(uint8_t *frame) { return fread(frame, 1, DANAS_FRAME_BYTES, stdin) == DANAS_FRAME_BYTES; }

void board_write(const char *text) { fputs(text, stdout); }

uint64_t board_time_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void board_stop(int status) {
  fflush(stdout);
  exit(status);
}

/* This machine as the board: examples from standard input, text to standard output. */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "board.h"

void board_start(void) {}

int board_read(void *portion, int32_t bytes) { return fread(portion, (size_t)bytes, 1, stdin) == 1; }

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

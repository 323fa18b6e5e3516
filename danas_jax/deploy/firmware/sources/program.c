#include "program.h"

#include "bench.h"
#include "board.h"
#include "firmware_config.h"
#include "network.h"
#include "preprocess.h"
#include "result.h"

static uint8_t frame[DANAS_FRAME_BYTES];
static int32_t frames;

static void fail(const char *text) {
  board_write(text);
  board_stop(1);
}

static void preprocess(void) {
  if (!danas_preprocess(frame, DANAS_FRAME_WIDTH, DANAS_FRAME_HEIGHT, danas_input())) {
    fail("the frame is smaller than the network's input\r\n");
  }
}

static void run(void) {
  if (!danas_run()) fail("the network did not run\r\n");
}

void danas_setup(void) {
  int i;
  board_start();
  if (!danas_begin()) fail("the network cannot be set up: is the arena too small?\r\n");
  for (i = 0; i < DANAS_BENCH; ++i) {
    uint64_t started;
    preprocess();
    danas_bench_begin();
    started = board_time_ns();
    run();
    danas_bench_end(board_time_ns() - started);
  }
  if (DANAS_BENCH) {
    danas_bench_write(board_write, danas_runtime, danas_arena_used_bytes());
    board_stop(0);
  }
}

int danas_loop(void) {
  uint64_t started, ready;
  if (!board_frame(frame)) return 0;
  started = board_time_ns();
  preprocess();
  ready = board_time_ns();
  run();
  danas_write_result(board_write, frames++, danas_output(), ready - started, board_time_ns() - ready);
  return 1;
}

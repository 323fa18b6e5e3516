#include "program.h"

#include "bench.h"
#include "board.h"
#include "firmware_config.h"
#include "front_end.h"
#include "network.h"
#include "result.h"

static danas_raw portion[DANAS_PORTION_COUNT];
static int32_t examples;

static void fail(const char *text) {
  board_write(text);
  board_stop(1);
}

/* An example into the network's input, which takes *spent_ns; 0 where none comes. The bench mode's is all zeros. */
static int read_example(uint64_t *spent_ns) {
  int32_t left;
  uint64_t started;
  *spent_ns = 0;
  danas_front_end_begin();
  for (left = DANAS_EXAMPLE_COUNT; left > 0; left -= DANAS_PORTION_COUNT) {
    const int32_t count = left < DANAS_PORTION_COUNT ? left : DANAS_PORTION_COUNT;
    if (!DANAS_BENCH && !board_read(portion, count * (int32_t)sizeof *portion)) return 0;
    started = board_time_ns();
    danas_front_end_take(portion, count);
    *spent_ns += board_time_ns() - started;
  }
  started = board_time_ns();
  if (!danas_front_end_input(danas_input())) fail("the example gives no input of the network: is it too small?\r\n");
  *spent_ns += board_time_ns() - started;
  return 1;
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
    read_example(&started);
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
  uint64_t spent, started;
  if (!read_example(&spent)) return 0;
  started = board_time_ns();
  run();
  danas_write_result(board_write, examples++, danas_output(), spent, board_time_ns() - started);
  return 1;
}

#include "network.h"

#include "firmware_config.h"
#include "layers.h"
#if DANAS_BENCH
#include "bench.h"
#include "board.h"
#endif

const char *const danas_runtime = "danas_c";

int danas_begin(void) { return 1; }

int8_t *danas_input(void) { return danas_arena + danas_input_offset; }

const int8_t *danas_output(void) { return danas_arena + danas_output_offset; }

uint32_t danas_arena_used_bytes(void) { return (uint32_t)danas_arena_bytes; }

int danas_run(void) {
  int i;
  for (i = 0; i < danas_layer_count; ++i) {
#if DANAS_BENCH
    const uint64_t started = board_time_ns();
    danas_run_layer(&danas_layers[i], danas_arena);
    danas_bench_layer(i, board_time_ns() - started);
#else
    danas_run_layer(&danas_layers[i], danas_arena);
#endif
  }
  return 1;
}

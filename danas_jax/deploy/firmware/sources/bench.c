#include "bench.h"

#include "firmware_config.h"

typedef struct {
  uint64_t now_ns, least_ns, most_ns; /* of this inference, of all */
} reading;

static reading rows[DANAS_BENCH_ROWS], overhead;
static uint32_t readings;

void danas_bench_begin(void) {
  int i;
  for (i = 0; i < DANAS_BENCH_ROWS; ++i) rows[i].now_ns = 0;
}

void danas_bench_layer(int layer, uint64_t time_ns) {
  if (layer >= 0 && layer < DANAS_BENCH_LAYERS) rows[danas_bench_row[layer]].now_ns += time_ns;
}

static void take(reading *row, uint64_t time_ns) {
  if (!readings || time_ns < row->least_ns) row->least_ns = time_ns;
  if (!readings || time_ns > row->most_ns) row->most_ns = time_ns;
}

void danas_bench_end(uint64_t total_ns) {
  uint64_t layers_ns = 0;
  int i;
  for (i = 0; i < DANAS_BENCH_ROWS; ++i) {
    layers_ns += rows[i].now_ns;
    take(&rows[i], rows[i].now_ns / danas_bench_count[i]); /* equal layers share a row: their mean */
  }
  take(&overhead, total_ns > layers_ns ? total_ns - layers_ns : 0);
  ++readings;
}

static void write_row(danas_write write, const char *cells, const reading *row) {
  write(cells);
  write(",");
  danas_write_decimal(write, row->least_ns, 6);
  write(",");
  danas_write_number(write, readings);
  write(",");
  danas_write_decimal(write, row->least_ns ? 10000 * (row->most_ns - row->least_ns) / row->least_ns : 0, 4);
  write("\r\n");
}

void danas_bench_write(danas_write write, const char *runtime, uint32_t arena_used_bytes) {
  int i;
  write("# {" DANAS_BENCH_BOARD "\"runtime\": \"");
  write(runtime);
  write("\", \"arena_used_bytes\": ");
  danas_write_number(write, arena_used_bytes);
  write("}\r\nop,input,output,kernel,stride,padding,ms,readings,spread\r\n");
  write_row(write, "OVERHEAD,,,,,", &overhead);
  for (i = 0; i < DANAS_BENCH_ROWS; ++i) write_row(write, danas_bench_cells[i], &rows[i]);
}

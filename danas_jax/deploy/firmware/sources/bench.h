/* Bench mode: time of every different layer, printed as the CSV that `danas lut import` reads. */
#ifndef DANAS_BENCH_H_
#define DANAS_BENCH_H_

#include <stdint.h>

#include "text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One inference: begin, every layer in the order of execution, end with the time of all of it [ns]. */
void danas_bench_begin(void);
void danas_bench_layer(int layer, uint64_t time_ns);
void danas_bench_end(uint64_t total_ns);

/* The least time of each layer over the inferences; the runtime's name and the bytes of arena that it used. */
void danas_bench_write(danas_write write, const char *runtime, uint32_t arena_used_bytes);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_BENCH_H_ */

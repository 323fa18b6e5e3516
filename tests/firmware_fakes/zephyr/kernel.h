/* What the application uses of Zephyr, on standard input and output; the clock goes 7 us a question. */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#define K_FOREVER 0
static inline int64_t k_uptime_get(void) { return 0; }
static inline uint32_t k_cycle_get_32(void) {
  static uint32_t now = 0xFFFFFF00u; /* comes round soon */
  return now += 7;
}
static inline uint64_t k_cyc_to_ns_floor64(uint64_t cycles) { return 1000 * cycles; }
static inline void k_sleep(int timeout) { exit(timeout); }

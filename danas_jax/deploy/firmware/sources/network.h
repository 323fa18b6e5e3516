/* The network, whoever runs it: network.c in plain C, tflm_network.cpp by TensorFlow Lite Micro. */
#ifndef DANAS_NETWORK_H_
#define DANAS_NETWORK_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

extern const char *const danas_runtime; /* its name in a latency table */

/* Once, before everything else; 0 where the network cannot be set up. */
int danas_begin(void);

/* int8 [height][width][channels] = code - 128, to be filled before every inference: it may be overwritten by one. */
int8_t *danas_input(void);

/* One inference; 0 where it failed. With DANAS_BENCH every layer's time goes to danas_bench_layer. */
int danas_run(void);

/* int8 [classes], logits of the last inference. */
const int8_t *danas_output(void);

uint32_t danas_arena_used_bytes(void);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_NETWORK_H_ */

/* What the logits say: the class, its name, the scores of all classes. */
#ifndef DANAS_RESULT_H_
#define DANAS_RESULT_H_

#include <stdint.h>

#include "text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Index of the class that int8 logits [classes] name; the first of equals. */
int danas_class(const int8_t *logits);

/* One line: "example 0: class 1, logits -12 33, scores 0.127 0.873, preprocess 1.234000 ms,
 * network 5.678000 ms: person".
 * Scores are the softmax; times are given in nanoseconds.
 */
void danas_write_result(danas_write write, int32_t example, const int8_t *logits, uint64_t preprocess_ns,
                        uint64_t network_ns);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_RESULT_H_ */

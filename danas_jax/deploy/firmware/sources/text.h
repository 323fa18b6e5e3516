/* Numbers as text without stdio, through a function that sends text wherever the board sends it. */
#ifndef DANAS_TEXT_H_
#define DANAS_TEXT_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*danas_write)(const char *text);

void danas_write_number(danas_write write, int64_t number);

/* number / 10^digits with that many decimals, 0 or more: danas_write_decimal(write, 1234567, 6) is 1.234567 */
void danas_write_decimal(danas_write write, uint64_t number, int digits);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_TEXT_H_ */

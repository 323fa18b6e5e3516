#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <zephyr/device.h>
static inline int uart_poll_in(const struct device *device, unsigned char *letter) {
  const int got = getchar();
  if (got == EOF) exit(device == 0);
  *letter = (unsigned char)got;
  return 0;
}

#include <zephyr/device.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>

#include "board.h"
#include "text.h"

#define GIVEN_UP_MS 1000 /* an example that stops coming; the next one is asked for */

static const struct device *const console = DEVICE_DT_GET(DT_CHOSEN(zephyr_console));

void board_start(void) {
  if (!device_is_ready(console)) board_stop(1);
}

/* Asks for the bytes. With a camera, a microphone or sensors of your own: fill `portion` from them (README.md). */
int board_read(void *portion, int32_t bytes) {
  unsigned char *to = portion;
  int32_t count = 0;
  int64_t last_ms = k_uptime_get();
  board_write("send ");
  danas_write_number(board_write, bytes);
  board_write("\r\n");
  while (count < bytes) {
    if (uart_poll_in(console, &to[count]) == 0) {
      ++count;
      last_ms = k_uptime_get();
    } else if (k_uptime_get() - last_ms > GIVEN_UP_MS) {
      return 0;
    }
  }
  return 1;
}

void board_write(const char *text) { printk("%s", text); }

uint64_t board_time_ns(void) {
  static uint32_t before;
  static uint64_t total;
  const uint32_t now = k_cycle_get_32();
  total += (uint32_t)(now - before); /* right as long as it is asked before the counter comes round once */
  before = now;
  return k_cyc_to_ns_floor64(total);
}

void board_stop(int status) {
  (void)status;
  for (;;) k_sleep(K_FOREVER);
}

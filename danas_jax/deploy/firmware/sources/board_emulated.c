/* qemu-system-arm's mps2 boards: examples are part of the program (examples.S), text goes out by semihosting.
 *
 * SysTick runs at 25 MHz. Under `-icount shift=0` every instruction takes 1 ns, so board_time_ns() counts instructions
 * in steps of 40; it is no time of a real core.
 */
#include <string.h>

#include "board.h"

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define RELOAD 0x00FFFFFFu
#define NS_PER_TICK 40u

#define SYS_WRITE0 0x04u
#define SYS_EXIT_EXTENDED 0x20u
#define APPLICATION_EXIT 0x20026u

extern const uint8_t danas_examples[], danas_examples_end[];
static const uint8_t *next = danas_examples;
static volatile uint32_t wraps;

static void semihost(uint32_t operation, const void *argument) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void SysTick_Handler(void) { ++wraps; }

void board_start(void) {
  SYST_RVR = RELOAD;
  SYST_CVR = 0;
  SYST_CSR = 7; /* the processor's clock, with interrupts */
}

int board_read(void *portion, int32_t bytes) {
  if (danas_examples_end - next < bytes) return 0;
  memcpy(portion, next, (size_t)bytes);
  next += bytes;
  return 1;
}

void board_write(const char *text) { semihost(SYS_WRITE0, text); }

uint64_t board_time_ns(void) {
  uint32_t before, left;
  do { /* again where the counter wrapped in between */
    before = wraps;
    left = SYST_CVR;
  } while (before != wraps);
  return ((uint64_t)before * (RELOAD + 1u) + (RELOAD - left)) * NS_PER_TICK;
}

void board_stop(int status) {
  const uint32_t why[2] = {APPLICATION_EXIT, (uint32_t)status};
  semihost(SYS_EXIT_EXTENDED, why);
  for (;;) {
  }
}

/* Start-up of a Cortex-M: vectors, initial data, main. The peripherals' interrupts are not used. */
#include <stdint.h>

#include "board.h"

extern uint32_t link_data_source[], link_data[], link_data_end[], link_bss[], link_bss_end[], link_stack_top[];
int main(void);
void Reset_Handler(void);
void SysTick_Handler(void);

void Reset_Handler(void) {
  uint32_t *from = link_data_source, *to;
  for (to = link_data; to < link_data_end;) *to++ = *from++;
  for (to = link_bss; to < link_bss_end;) *to++ = 0;
  board_stop(main());
}

static void Fault_Handler(void) { board_stop(2); }

/* of a board that does not use it */
__attribute__((weak)) void SysTick_Handler(void) {}

typedef union {
  void *stack;
  void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = link_stack_top},
    {.handler = Reset_Handler},
    {.handler = Fault_Handler}, /* NMI */
    {.handler = Fault_Handler}, /* HardFault */
    {.handler = Fault_Handler}, /* MemManage */
    {.handler = Fault_Handler}, /* BusFault */
    {.handler = Fault_Handler}, /* UsageFault */
    {.stack = 0},
    {.stack = 0},
    {.stack = 0},
    {.stack = 0},
    {.handler = Fault_Handler}, /* SVCall */
    {.handler = Fault_Handler}, /* DebugMonitor */
    {.stack = 0},
    {.handler = Fault_Handler}, /* PendSV */
    {.handler = SysTick_Handler},
};

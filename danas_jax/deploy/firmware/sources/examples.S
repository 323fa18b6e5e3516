/* Examples for the emulated board: examples.bin, one after the other, as the board reads them. */
  .syntax unified
  .section .examples, "a"
  .balign 4
  .global danas_examples
danas_examples:
  .incbin "examples.bin"
  .global danas_examples_end
danas_examples_end:

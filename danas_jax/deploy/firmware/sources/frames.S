/* Pictures for the emulated board: frames.bin, [n][height][width][channels], 8 bits each. */
  .syntax unified
  .section .frames, "a"
  .balign 4
  .global danas_frames
danas_frames:
  .incbin "frames.bin"
  .global danas_frames_end
danas_frames_end:

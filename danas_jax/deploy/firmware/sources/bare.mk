# make: firmware.elf for a Cortex-M.  make run: on the emulated board.  make host, ./host < examples.bin: on this machine.
# BENCH=10: bench mode, the layers' times over 10 inferences instead of examples. After changing a variable: make clean.
CPU := cortex-m4
BOARD := emulated
BENCH := 0
# of the emulated board; what your chip has is in its data sheet
FLASH_START := 0x00000000
FLASH_BYTES := 0x00400000
RAM_START := 0x20000000
RAM_BYTES := 0x00400000
STACK_BYTES := 4096

SOURCES := $(filter-out startup.c $(wildcard board_*.c),$(wildcard *.c))
FLAGS := -O3 -std=c99 -Wall -Wextra -Werror -DDANAS_BENCH=$(BENCH)
ARM := arm-none-eabi-gcc -mcpu=$(CPU) -mthumb -ffunction-sections -fdata-sections
MEMORY := FLASH_START FLASH_BYTES RAM_START RAM_BYTES STACK_BYTES
LINK := -nostartfiles --specs=nosys.specs -Wl,--gc-sections -Wl,-Map=firmware.map \
        $(foreach name,$(MEMORY),-Wl,--defsym=$(name)=$($(name))) -T bare.ld
MACHINE := $(if $(filter cortex-m7,$(CPU)),mps2-an500,mps2-an386)
EMULATED := $(if $(filter emulated,$(BOARD)),examples.S)

.PHONY: run clean
firmware.elf: $(SOURCES) startup.c board_$(BOARD).c $(EMULATED) $(wildcard *.h) bare.ld examples.bin
	$(ARM) $(FLAGS) $(filter %.c %.S,$^) $(LINK) -o $@

host: $(SOURCES) board_host.c $(wildcard *.h)
	$(CC) $(FLAGS) $(HOST_FLAGS) $(filter %.c,$^) -o $@

run: firmware.elf
	qemu-system-arm -M $(MACHINE) -display none -serial none -monitor none -icount shift=0 -chardev stdio,id=out \
	  -semihosting-config enable=on,target=native,chardev=out -kernel firmware.elf

clean:
	rm -f firmware.elf firmware.map host

#include "result.h"

#include "firmware_config.h"

int danas_class(const int8_t *logits) { return danas_model_class(logits); }

static void write_scores(danas_write write, const int8_t *logits) {
  int i, largest = logits[0];
  uint32_t total = 0;
  for (i = 1; i < DANAS_MODEL_CLASSES; ++i) largest = logits[i] > largest ? logits[i] : largest;
  for (i = 0; i < DANAS_MODEL_CLASSES; ++i) total += danas_powers[largest - logits[i]];
  for (i = 0; i < DANAS_MODEL_CLASSES; ++i) {
    write(" ");
    danas_write_decimal(write, (1000u * danas_powers[largest - logits[i]] + total / 2) / total, 3);
  }
}

/* A name may hold anything; what a terminal would obey is shown as '?' */
static void write_name(danas_write write, const char *name) {
  char letter[2] = {0, 0};
  for (; *name; ++name) {
    letter[0] = (unsigned char)*name < 32 || *name == 127 ? '?' : *name;
    write(letter);
  }
}

void danas_write_result(danas_write write, int32_t example, const int8_t *logits, uint64_t preprocess_ns,
                        uint64_t network_ns) {
  const int chosen = danas_class(logits);
  int i;
  write("example ");
  danas_write_number(write, example);
  write(": class ");
  danas_write_number(write, chosen);
  write(", logits");
  for (i = 0; i < DANAS_MODEL_CLASSES; ++i) {
    write(" ");
    danas_write_number(write, logits[i]);
  }
  write(", scores");
  write_scores(write, logits);
  write(", preprocess ");
  danas_write_decimal(write, preprocess_ns, 6);
  write(" ms, network ");
  danas_write_decimal(write, network_ns, 6);
  write(" ms: ");
  write_name(write, danas_model_labels[chosen]);
  write("\r\n");
}

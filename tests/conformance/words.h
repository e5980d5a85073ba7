// What the runner in C has of words and lines: a command is words, and what it prints is its answer.
#ifndef WORDS_H
#define WORDS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// No line is longer.
#define MAX_WORDS 16
#define MAX_LINE 8192

static char *words[MAX_WORDS];
static size_t word_count;
static char answer[MAX_LINE];

static void wrong(const char *what) {
    fprintf(stderr, "conformance: %s: %s\n", what, words[0]);
    exit(1);
}

static void say(const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(answer, sizeof answer, format, values);
    va_end(values);
}

static bool is(const char *name, size_t arguments) {
    return strcmp(words[0], name) == 0 && (word_count == arguments + 1 || arguments == MAX_WORDS);
}

struct bytes {
    char data[MAX_LINE];
    size_t len;
};

static struct bytes decoded(const char *word) {
    struct bytes bytes = {.len = 0};
    for (const char *c = strcmp(word, "-") == 0 ? "" : word; *c != '\0'; c++) {
        if (*c == '%') {
            char digits[] = {c[1], c[2], '\0'};
            bytes.data[bytes.len++] = (char)strtol(digits, NULL, 16);
            c += 2;
        } else {
            bytes.data[bytes.len++] = *c;
        }
    }
    return bytes;
}

// Appends bytes to the answer.
static void append(const void *data, size_t len) {
    char *end = answer + strlen(answer);
    if (len == 0) {
        strcpy(end, "-");
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = ((const unsigned char *)data)[i];
        end += sprintf(end, byte > ' ' && byte <= '~' && byte != '%' ? "%c" : "%%%02X", byte);
    }
}

static uint32_t number(const char *word) {
    return (uint32_t)strtoul(word, NULL, 10);
}

#endif

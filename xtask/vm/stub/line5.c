// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Driver 5.2.0, a Hailo-10H. */
#define LINE line5
#define DRIVER "hailo1x"
#define VERSION "5.2.0"
#define PCI_ID "1e60:45c4"
#define ACCELERATOR_TYPE "1"
#include "stub.c"

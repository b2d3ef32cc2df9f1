// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Driver 4.20.0, a Hailo-8. */
#define LINE line4
#define DRIVER "hailo"
#define VERSION "4.20.0"
#define PCI_ID "1e60:2864"
#define ACCELERATOR_TYPE "0"
#include "stub.c"

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What is called of the kernel's module vgem, by the numbers of include/uapi/drm/drm.h: a device of DRM without hardware,
 * whose calls are taken by drm_ioctl of the module drm (those of 32-bit processes by drm_compat_ioctl).
 */
#ifndef ACCELSCOPE_VGEM_H
#define ACCELSCOPE_VGEM_H

#define VGEM_NODE "/dev/dri/renderD128"

/* struct drm_version is larger in a 64-bit process. */
#define VGEM_VERSION 0xc0406400u
#define VGEM_VERSION_32 0xc0246400u
#define VGEM_GEM_CLOSE 0x40086409u
#define VGEM_GET_CAP 0xc010640cu
/* Of the display's master, who cannot be at this node. */
#define VGEM_AUTH_MAGIC 0x40046411u

/* DRM_CAP_PRIME, which every driver answers. */
#define VGEM_CAP_PRIME 5

/*
 * Calls of one round, with the error that each ends with. xtask/src/vmtest/judge/made.rs counts the same: change both.
 *
 *   VERSION     0
 *   GET_CAP     0
 *   GEM_CLOSE   EINVAL   no such handle
 *   AUTH_MAGIC  EACCES
 *   GET_CAP     EFAULT   no memory behind the argument
 */
#endif

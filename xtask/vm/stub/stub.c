// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * A device like the one of Hailo's PCIe driver, without hardware: the same class, node, name in /proc/devices, module
 * name and version, the same function behind ioctl, and the same commands with the same sizes. It moves no data. What
 * it has been called with is told by /proc/hailo_stub, which is what an observer's figures are compared with.
 *
 * Built once for each line of drivers: LINE, DRIVER and VERSION come from line4.c and line5.c.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/wait.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

#include "../abi.h"

static const char *const names[COMMANDS + 1] = {
	"QUERY_DEVICE_PROPERTIES", "QUERY_DRIVER_INFO", "VDMA_ENABLE_CHANNELS", "VDMA_DISABLE_CHANNELS",
	"VDMA_INTERRUPTS_WAIT", "VDMA_BUFFER_MAP", "VDMA_BUFFER_UNMAP", "MARK_AS_IN_USE", "VDMA_LAUNCH_TRANSFER",
	"FW_CONTROL", "READ_NOTIFICATION", "DISABLE_NOTIFICATION", "UNKNOWN",
};

static atomic64_t calls[COMMANDS + 1], errors[COMMANDS + 1];
static const char *const directions[2] = { "to_device", "from_device" };
static atomic64_t launches[2], buffers[2], bytes[2];
static atomic64_t switches, in_flight;

static int major;
static struct class *class;
static DEFINE_MUTEX(owner_mutex);
static struct file *owner;
static DECLARE_WAIT_QUEUE_HEAD(notifications);
static atomic_t notified;

static long launch(const u8 *argument)
{
	u8 count = argument[LINE.launch_count];
	u8 channel = argument[LINE.launch_channel];
	int from_device = channel >= FIRST_FROM_DEVICE;
	u64 sum = 0;
	u8 at;

	if (argument[LINE.launch_engine] >= ENGINES || channel >= CHANNELS || !count || count > LINE.launch_max)
		return -EINVAL;
	for (at = 0; at < count; at++)
		sum += get_unaligned_le32(argument + LINE.launch_buffers + at * BUFFER_STRIDE + BUFFER_SIZE);
	atomic64_inc(&launches[from_device]);
	atomic64_add(count, &buffers[from_device]);
	atomic64_add(sum, &bytes[from_device]);
	return 0;
}

/* The second word of the bitmap is how long to wait, in milliseconds: the stub has one engine. */
static long interrupts_wait(u8 *argument)
{
	u32 wait = get_unaligned_le32(argument + LINE.wait_word);

	if (!get_unaligned_le32(argument) || wait > WAIT_MAX_MS)
		return -EINVAL;
	if (wait && msleep_interruptible(wait))
		return -EINTR;
	argument[LINE.wait_count] = 1;
	return 0;
}

static long fw_control(const u8 *argument)
{
	u32 opcode = get_unaligned_be32(argument + FW_OPCODE);
	u32 timeout = get_unaligned_le32(argument + FW_TIMEOUT_MS);

	if (opcode == OP_CHANGE_CONTEXT_SWITCH_STATUS)
		atomic64_inc(&switches);
	if (opcode != OP_UNANSWERED)
		return 0;
	if (timeout > WAIT_MAX_MS)
		return -EINVAL;
	return msleep_interruptible(timeout) ? -EINTR : -ETIMEDOUT;
}

static long mark_as_in_use(struct file *file, u8 *argument)
{
	mutex_lock(&owner_mutex);
	argument[0] = owner && owner != file;
	if (!owner)
		owner = file;
	mutex_unlock(&owner_mutex);
	return 0;
}

static long query_driver_info(u8 *argument)
{
	put_unaligned_le32(LINE.major, argument);
	put_unaligned_le32(LINE.minor, argument + 4);
	put_unaligned_le32(LINE.revision, argument + 8);
	return 0;
}

static long read_notification(void)
{
	int seen = atomic_read(&notified);

	return wait_event_interruptible(notifications, atomic_read(&notified) != seen) ? -EINTR : 0;
}

static long perform(struct file *file, enum command command, u8 *argument)
{
	switch (command) {
	case LAUNCH_TRANSFER:
		return launch(argument);
	case INTERRUPTS_WAIT:
		return interrupts_wait(argument);
	case FW_CONTROL:
		return fw_control(argument);
	case MARK_AS_IN_USE:
		return mark_as_in_use(file, argument);
	case QUERY_DRIVER_INFO:
		return query_driver_info(argument);
	case READ_NOTIFICATION:
		return read_notification();
	case DISABLE_NOTIFICATION:
		atomic_inc(&notified);
		wake_up_all(&notifications);
		return 0;
	default:
		return 0;
	}
}

static enum command find(unsigned int number)
{
	enum command command;

	for (command = 0; command < COMMANDS; command++)
		if (LINE.commands[command] == number)
			break;
	return command;
}

long hailo_pcie_fops_unlockedioctl(struct file *file, unsigned int number, unsigned long address);

/* The driver's entry, by its name: what an observer hooks. */
noinline long hailo_pcie_fops_unlockedioctl(struct file *file, unsigned int number, unsigned long address)
{
	enum command command = find(number);
	size_t size = COMMAND_SIZE(number);
	void __user *user = (void __user *)address;
	u8 *argument = NULL;
	long result = -ENOTTY;

	atomic64_inc(&calls[command]);
	atomic64_inc(&in_flight);
	if (command == UNKNOWN)
		goto out;
	result = -ENOMEM;
	argument = kzalloc(STRUCT_MAX, GFP_KERNEL);
	if (!argument)
		goto out;
	result = -EFAULT;
	if (COMMAND_TO_DRIVER(number) && copy_from_user(argument, user, size))
		goto out;
	result = perform(file, command, argument);
	if (!result && COMMAND_FROM_DRIVER(number) && copy_to_user(user, argument, size))
		result = -EFAULT;
out:
	kfree(argument);
	atomic64_dec(&in_flight);
	if (result)
		atomic64_inc(&errors[command]);
	return result;
}

static int hailo_pcie_fops_open(struct inode *inode, struct file *file)
{
	return iminor(inode) ? -ENODEV : 0;
}

static int hailo_pcie_fops_release(struct inode *inode, struct file *file)
{
	mutex_lock(&owner_mutex);
	if (owner == file)
		owner = NULL;
	mutex_unlock(&owner_mutex);
	return 0;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = hailo_pcie_fops_unlockedioctl,
	.open = hailo_pcie_fops_open,
	.release = hailo_pcie_fops_release,
};

static int truth_show(struct seq_file *out, void *unused)
{
	int at;

	for (at = 0; at <= COMMANDS; at++)
		seq_printf(out, "calls.%s %lld\nerrors.%s %lld\n", names[at], (long long)atomic64_read(&calls[at]),
			   names[at], (long long)atomic64_read(&errors[at]));
	for (at = 0; at < 2; at++)
		seq_printf(out, "launches.%s %lld\nbuffers.%s %lld\nbytes.%s %lld\n", directions[at],
			   (long long)atomic64_read(&launches[at]), directions[at], (long long)atomic64_read(&buffers[at]),
			   directions[at], (long long)atomic64_read(&bytes[at]));
	seq_printf(out, "switches %lld\nin_flight %lld\nowned %d\n", (long long)atomic64_read(&switches),
		   (long long)atomic64_read(&in_flight), owner != NULL);
	return 0;
}

static ssize_t board_location_show(struct device *device, struct device_attribute *attribute, char *out)
{
	return sprintf(out, "0000:01:00.0");
}
static DEVICE_ATTR_RO(board_location);

static ssize_t device_id_show(struct device *device, struct device_attribute *attribute, char *out)
{
	return sprintf(out, PCI_ID);
}
static DEVICE_ATTR_RO(device_id);

static ssize_t accelerator_type_show(struct device *device, struct device_attribute *attribute, char *out)
{
	return sprintf(out, ACCELERATOR_TYPE);
}
static DEVICE_ATTR_RO(accelerator_type);

static struct attribute *hailo_attrs[] = {
	&dev_attr_board_location.attr,
	&dev_attr_device_id.attr,
	&dev_attr_accelerator_type.attr,
	NULL,
};
ATTRIBUTE_GROUPS(hailo);

static int __init stub_init(void)
{
	struct device *device;

	major = register_chrdev(0, DRIVER, &fops);
	if (major < 0)
		return major;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	class = class_create("hailo_chardev");
#else
	class = class_create(THIS_MODULE, "hailo_chardev");
#endif
	if (IS_ERR(class)) {
		unregister_chrdev(major, DRIVER);
		return PTR_ERR(class);
	}
	device = device_create_with_groups(class, NULL, MKDEV(major, 0), NULL, hailo_groups, "hailo%d", 0);
	if (IS_ERR(device) || !proc_create_single("hailo_stub", 0444, NULL, truth_show)) {
		device_destroy(class, MKDEV(major, 0));
		class_destroy(class);
		unregister_chrdev(major, DRIVER);
		return -ENODEV;
	}
	return 0;
}

static void __exit stub_exit(void)
{
	remove_proc_entry("hailo_stub", NULL);
	device_destroy(class, MKDEV(major, 0));
	class_destroy(class);
	unregister_chrdev(major, DRIVER);
}

module_init(stub_init);
module_exit(stub_exit);
MODULE_DESCRIPTION("A device like Hailo's, without hardware, for tests of accelscope");
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION(VERSION);

// SPDX-License-Identifier: Apache-2.0
//
// bmc NETFN COMMAND [BYTE...]: a command to the BMC (hexadecimal), and its answer with the completion code first. For the
// scenarios of IPMI: it changes what the emulated BMC measures, and tells what it answers, with no code of the agent's.

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <linux/ipmi.h>

int main(int count, char **words)
{
	unsigned char request[64], answer[IPMI_MAX_MSG_LENGTH];
	struct ipmi_system_interface_addr bmc = { IPMI_SYSTEM_INTERFACE_ADDR_TYPE, IPMI_BMC_CHANNEL, 0 };
	struct ipmi_addr from;
	struct ipmi_req send = { (unsigned char *)&bmc, sizeof(bmc), 1, { 0, 0, 0, request } };
	struct ipmi_recv receive = { 0, (unsigned char *)&from, sizeof(from), 0, { 0, 0, sizeof(answer), answer } };
	struct pollfd device = { open("/dev/ipmi0", O_RDWR), POLLIN, 0 };

	if (count < 3 || count > 3 + (int)sizeof(request))
		return 64;
	send.msg.netfn = strtoul(words[1], NULL, 16);
	send.msg.cmd = strtoul(words[2], NULL, 16);
	for (int at = 3; at < count; at++)
		request[send.msg.data_len++] = strtoul(words[at], NULL, 16);
	if (device.fd < 0 || ioctl(device.fd, IPMICTL_SEND_COMMAND, &send)) {
		perror("/dev/ipmi0");
		return 1;
	}
	if (poll(&device, 1, 10000) != 1 || ioctl(device.fd, IPMICTL_RECEIVE_MSG_TRUNC, &receive)) {
		perror("no answer");
		return 1;
	}
	for (int at = 0; at < receive.msg.data_len; at++)
		printf("%02x%c", answer[at], at + 1 < receive.msg.data_len ? ' ' : '\n');
	return answer[0] != 0;
}

/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The XDP programs around the balancer: what sends, what receives, and the simplest things
 * that could stand in the balancer's place.
 */

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define EXITS 3 /* to servers */
#define HEADER_BYTES (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr))

struct headers {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

/* What to send; generator.py writes it. */
struct stream {
	u32 flow; /* of the next packet, 0 … flows - 1 */
	u32 flows;
	struct headers headers; /* of flow 0 */
};

BPF_ARRAY(streams, struct stream, 1);
BPF_ARRAY(turns, u32, 1);
BPF_DEVMAP(exits, EXITS);
BPF_TABLE("percpu_array", u32, u64, received, 1);

/* RFC 1624, equation 3, for a 32-bit word. */
static __always_inline u16 mend(u16 check, u32 old, u32 new)
{
	u32 sum = (u16)~check;

	sum += (u16)~old + (new & 0xffff);
	sum += (u16)~(old >> 16) + (new >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* A generator of live frames: their memory is used again and again, so all is written. */
int generate(struct xdp_md *ctx)
{
	struct headers *to = (void *)(long)ctx->data;
	u32 zero = 0;
	struct stream *stream = streams.lookup(&zero);

	if (!stream || (void *)(to + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;

	u32 flow = stream->flow;
	u32 address = stream->headers.ip.saddr, new_address = address ^ bpf_htonl(flow);
	u16 port = stream->headers.udp.source, new_port = port ^ (flow & 0xffff);

	stream->flow = flow + 1 < stream->flows ? flow + 1 : 0;
	*to = stream->headers;
	to->ip.saddr = new_address;
	to->ip.check = mend(to->ip.check, address, new_address);
	to->udp.source = new_port;
	to->udp.check = mend(mend(to->udp.check, address, new_address), port, new_port);
	return XDP_TX;
}

/* A server: count and forget. */
int receive(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *count = received.lookup(&zero);

	if (count)
		(*count)++;
	return XDP_DROP;
}

/* For the kernel to forward; its being there is what makes veth hand us XDP frames. */
int leave(struct xdp_md *ctx)
{
	return XDP_PASS;
}

int redirect(struct xdp_md *ctx)
{
	return exits.redirect_map(0, XDP_DROP);
}

int redirect_in_turns(struct xdp_md *ctx)
{
	u32 zero = 0, *turn = turns.lookup(&zero);

	if (!turn)
		return XDP_ABORTED;
	*turn = *turn + 1 < EXITS ? *turn + 1 : 0;
	return exits.redirect_map(*turn, XDP_DROP);
}

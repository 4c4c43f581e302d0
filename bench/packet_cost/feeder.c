/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The feeder: before each packet of a BPF_PROG_TEST_RUN it makes the frame new, of the next
 * flow, and then calls the program under test. A test run keeps one buffer for all
 * repetitions and restores nothing: without this, a program would see its own output.
 *
 * WORDS, ADDRESS_WORD, PORTS_WORD, PORT_SHIFT and VIP_WORD come from layout.py.
 */

#include <linux/if_ether.h>

/* What to feed; feeder.py writes it. */
struct feed {
	u32 flow;     /* of the next packet, 0 … flows - 1 */
	u32 flows;
	u32 bytes;    /* of the frame */
	u32 vip_mask; /* the bits of a VIP that differ from flow to flow */
	u8 ethernet[ETH_HLEN];
	u8 pad[2];
	u32 words[WORDS]; /* the headers after Ethernet's */
};

BPF_ARRAY(feeds, struct feed, 1);
BPF_PROG_ARRAY(under_test, 1);

/*
 * Each store is as wide as the widest load of the same field: a load that spans two stores
 * would wait for both to reach the cache, which costs ten times as much as on a frame that
 * a network card has written.
 */
static __always_inline void copy_ethernet(void *to, const void *from)
{
	*(u32 *)to = *(u32 *)from;
	*(u16 *)(to + 4) = *(u16 *)(from + 4);
	*(u32 *)(to + 6) = *(u32 *)(from + 6);
	*(u16 *)(to + 10) = *(u16 *)(from + 10);
	*(u16 *)(to + 12) = *(u16 *)(from + 12);
}

static __always_inline void copy_headers(u32 *to, const struct feed *feed, u32 flow)
{
#pragma unroll
	for (int i = 0; i < WORDS; i++) {
		u32 word = feed->words[i];

		if (i == ADDRESS_WORD)
			word ^= bpf_htonl(flow);
		if (i == PORTS_WORD)
			word ^= (flow & 0xffff) << PORT_SHIFT;
		if (i == VIP_WORD)
			word ^= bpf_htonl(flow & feed->vip_mask);
		to[i] = word;
	}
}

int feeder(struct xdp_md *ctx)
{
	u32 zero = 0, bytes = ctx->data_end - ctx->data;
	struct feed *feed = feeds.lookup(&zero);

	if (!feed)
		return XDP_ABORTED;
	if (bytes != feed->bytes) /* the program has moved the beginning */
		bpf_xdp_adjust_head(ctx, (int)(bytes - feed->bytes));

	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u32 flow = feed->flow;

	if (data + ETH_HLEN + 4 * WORDS > end)
		return XDP_ABORTED;
	copy_ethernet(data, feed->ethernet);
	copy_headers(data + ETH_HLEN, feed, flow);
	feed->flow = flow + 1 < feed->flows ? flow + 1 : 0;
	under_test.call(ctx, 0);
	return XDP_ABORTED; /* there was nobody to call */
}

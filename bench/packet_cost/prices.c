/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Programs that do one thing each, to be run by the feeder: what the parts of a data plane
 * cost. Each reads the flow's number again from the source address.
 */

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#define SLOTS 65536
#define MANY_SLOTS 8388608

struct counter {
	u64 packets;
	u64 bytes;
};

struct key8 {
	u32 word[2];
};

struct key20 {
	u32 word[5];
};

BPF_TABLE("percpu_array", u32, struct counter, counters, 8);
BPF_TABLE("hash", struct key8, u32, hash8, 1024);
BPF_TABLE("hash", struct key20, u32, hash20, 1024);
BPF_TABLE("array", u32, u64, slots, SLOTS);
BPF_TABLE("array", u32, u64, many_slots, MANY_SLOTS);
BPF_DEVMAP(ports, 256);

static __always_inline struct iphdr *ip_of(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;

	return (void *)(ip + 1) <= end ? ip : NULL;
}

static __always_inline void count(u32 index, u32 bytes)
{
	struct counter *counter = counters.lookup(&index);

	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
}

int nothing(struct xdp_md *ctx)
{
	return XDP_TX;
}

int one_counter(struct xdp_md *ctx)
{
	count(0, ctx->data_end - ctx->data);
	return XDP_TX;
}

int three_counters(struct xdp_md *ctx)
{
	u32 bytes = ctx->data_end - ctx->data;

	count(0, bytes);
	count(1, bytes);
	count(2, bytes);
	return XDP_TX;
}

int hash_8(struct xdp_md *ctx)
{
	struct iphdr *ip = ip_of(ctx);
	struct key8 key = {};

	if (!ip)
		return XDP_ABORTED;
	key.word[1] = ip->daddr;
	return hash8.lookup(&key) ? XDP_TX : XDP_ABORTED;
}

int hash_20(struct xdp_md *ctx)
{
	struct iphdr *ip = ip_of(ctx);
	struct key20 key = {};

	if (!ip)
		return XDP_ABORTED;
	key.word[4] = ip->daddr;
	return hash20.lookup(&key) ? XDP_TX : XDP_ABORTED;
}

static __always_inline u32 place_among(u32 slots, const struct iphdr *ip)
{
	u32 hash = (ip->saddr * 0xff51afd7ed558ccdULL) >> 32;

	return (u64)hash * slots >> 32;
}

int slot(struct xdp_md *ctx)
{
	struct iphdr *ip = ip_of(ctx);

	if (!ip)
		return XDP_ABORTED;

	u32 index = place_among(SLOTS, ip);
	u64 *found = slots.lookup(&index);

	return found && *found ? XDP_ABORTED : XDP_TX;
}

int slot_of_many(struct xdp_md *ctx)
{
	struct iphdr *ip = ip_of(ctx);

	if (!ip)
		return XDP_ABORTED;

	u32 index = place_among(MANY_SLOTS, ip);
	u64 *found = many_slots.lookup(&index);

	return found && *found ? XDP_ABORTED : XDP_TX;
}

int macs(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	u8 mac[ETH_ALEN];

	if ((void *)(eth + 1) > end)
		return XDP_ABORTED;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	return XDP_TX;
}

int redirect(struct xdp_md *ctx)
{
	return ports.redirect_map(0, XDP_TX); /* an empty place: the flags are the verdict */
}

int clock(struct xdp_md *ctx)
{
	return bpf_ktime_get_ns() ? XDP_TX : XDP_ABORTED;
}

int ticks(struct xdp_md *ctx)
{
	return bpf_jiffies64() ? XDP_TX : XDP_ABORTED;
}

int coarse_clock(struct xdp_md *ctx)
{
	return bpf_ktime_get_coarse_ns() ? XDP_TX : XDP_ABORTED;
}

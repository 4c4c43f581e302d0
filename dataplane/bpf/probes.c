/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The way of health checks to a VIP through one backend, as clients' packets go by direct
 * return; for tc, beside the program that balances.
 *
 * A socket cannot send to a VIP of its own host, nor hear from one. So each backend of each
 * VIP has a stand-in: an address of our own behind an interface of our own, which nobody
 * else knows. What is sent there (out of that interface) becomes a packet to the VIP in a
 * frame to the backend; the answer (into the interface that leads there) becomes one from
 * the stand-in, before the host's IP has seen it.
 */

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "probes.h"

#define FRAGMENT_MASK 0x3fff /* more fragments, or an offset */
#define ONE_SEGMENT 1 /* hops: a backend that is a router must not send it on to the VIP */

BPF_ARRAY(device, struct gw_probe_device, 1);
BPF_F_TABLE("hash", u32, struct gw_probe_target, targets, GW_PROBE_TARGETS, BPF_F_NO_PREALLOC);
BPF_TABLE("lru_hash", struct gw_probe_flow, struct gw_probe_address, flows, GW_PROBE_FLOWS);

struct packet {
	bool is_ipv6;
	u32 l4; /* where TCP or UDP begins */
	u32 protocol;
	struct gw_probe_address src, dst;
	__be16 ports[2]; /* source, destination */
};

static __always_inline bool parse_ipv4(struct __sk_buff *skb, struct packet *pkt)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.ihl < 5)
		return false;
	if (ip.frag_off & bpf_htons(FRAGMENT_MASK))
		return false;
	pkt->l4 = ETH_HLEN + ip.ihl * 4;
	pkt->protocol = ip.protocol;
	pkt->src.word[2] = pkt->dst.word[2] = bpf_htonl(0xffff);
	pkt->src.word[3] = ip.saddr;
	pkt->dst.word[3] = ip.daddr;
	return true;
}

static __always_inline bool parse_ipv6(struct __sk_buff *skb, struct packet *pkt)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return false;
	pkt->is_ipv6 = true;
	pkt->l4 = ETH_HLEN + sizeof(ip);
	pkt->protocol = ip.nexthdr;
	__builtin_memcpy(&pkt->src, &ip.saddr, sizeof(pkt->src));
	__builtin_memcpy(&pkt->dst, &ip.daddr, sizeof(pkt->dst));
	return true;
}

/* Whether it is whole, and TCP or UDP. */
static __always_inline bool parse(struct __sk_buff *skb, struct packet *pkt)
{
	bool is_ip = false;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		is_ip = parse_ipv4(skb, pkt);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		is_ip = parse_ipv6(skb, pkt);
	if (!is_ip || (pkt->protocol != IPPROTO_TCP && pkt->protocol != IPPROTO_UDP))
		return false;
	return !bpf_skb_load_bytes(skb, pkt->l4, pkt->ports, sizeof(pkt->ports));
}

/* Replace an address at `at`, and make good the checksums that it is in. */
static __always_inline bool readdress(struct __sk_buff *skb, const struct packet *pkt, u32 at,
				      struct gw_probe_address *old,
				      struct gw_probe_address *new)
{
	bool is_udp = pkt->protocol == IPPROTO_UDP;
	u32 sum = pkt->l4 + (is_udp ? __builtin_offsetof(struct udphdr, check) :
				      __builtin_offsetof(struct tcphdr, check));
	u64 flags = BPF_F_PSEUDO_HDR | (is_udp ? BPF_F_MARK_MANGLED_0 : 0);

	if (pkt->is_ipv6) {
		s64 difference = bpf_csum_diff(old->word, 16, new->word, 16, 0);

		/* The card's sum of the whole, if there is one, has no header checksum in
		 * it that would make up for the address: so it is recomputed. */
		return !bpf_l4_csum_replace(skb, sum, 0, difference, flags) &&
		       !bpf_skb_store_bytes(skb, at, new->word, 16, BPF_F_RECOMPUTE_CSUM);
	}
	u32 header = ETH_HLEN + __builtin_offsetof(struct iphdr, check);

	return !bpf_l4_csum_replace(skb, sum, old->word[3], new->word[3], flags | 4) &&
	       !bpf_l3_csum_replace(skb, header, old->word[3], new->word[3], 4) &&
	       !bpf_skb_store_bytes(skb, at, &new->word[3], 4, 0);
}

static __always_inline bool limit_hops(struct __sk_buff *skb, const struct packet *pkt)
{
	u8 one = ONE_SEGMENT;

	if (pkt->is_ipv6)
		return !bpf_skb_store_bytes(skb, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, hop_limit),
					    &one, 1, 0);
	u32 at = ETH_HLEN + __builtin_offsetof(struct iphdr, ttl);
	u8 ttl;

	/* The checksum is of words: of this one, the other byte stays as it is. */
	return !bpf_skb_load_bytes(skb, at, &ttl, 1) &&
	       !bpf_l3_csum_replace(skb, ETH_HLEN + __builtin_offsetof(struct iphdr, check),
				    bpf_htons(ttl << 8), bpf_htons(one << 8), 2) &&
	       !bpf_skb_store_bytes(skb, at, &one, 1, 0);
}

/* A packet to a stand-in: to the VIP, by the backend's MAC. */
static __always_inline int leave(struct __sk_buff *skb, struct packet *pkt)
{
	u32 number = bpf_ntohl(pkt->dst.word[3]) & 0xffff;
	struct gw_probe_target *target = targets.lookup(&number);

	if (!target)
		return TC_ACT_SHOT; /* its MAC is not known any more */

	struct gw_probe_address vip = target->vip, stand_in = pkt->dst;
	struct gw_probe_flow flow = {
		.node = pkt->src,
		.vip = vip,
		.node_port = pkt->ports[0],
		.vip_port = pkt->ports[1],
		.protocol = pkt->protocol,
	};
	u8 macs[2 * ETH_ALEN];
	u32 at = ETH_HLEN + (pkt->is_ipv6 ? __builtin_offsetof(struct ipv6hdr, daddr) :
					    __builtin_offsetof(struct iphdr, daddr));

	__builtin_memcpy(macs, target->to, ETH_ALEN);
	__builtin_memcpy(macs + ETH_ALEN, target->from, ETH_ALEN);
	flows.update(&flow, &stand_in);
	if (!readdress(skb, pkt, at, &stand_in, &vip) || !limit_hops(skb, pkt) ||
	    bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(target->ifindex, 0);
}

/* A packet of the network's: if it answers one of those, from the stand-in. */
static __always_inline int arrive(struct __sk_buff *skb, struct packet *pkt,
				  const struct gw_probe_device *own)
{
	struct gw_probe_flow flow = {
		.node = pkt->dst,
		.vip = pkt->src,
		.node_port = pkt->ports[1],
		.vip_port = pkt->ports[0],
		.protocol = pkt->protocol,
	};
	struct gw_probe_address *found = flows.lookup(&flow);

	if (!found)
		return TC_ACT_UNSPEC;

	struct gw_probe_address stand_in = *found, vip = pkt->src;
	u8 mac[ETH_ALEN];
	u32 at = ETH_HLEN + (pkt->is_ipv6 ? __builtin_offsetof(struct ipv6hdr, saddr) :
					    __builtin_offsetof(struct iphdr, saddr));

	__builtin_memcpy(mac, own->mac, ETH_ALEN);
	if (!readdress(skb, pkt, at, &vip, &stand_in) ||
	    bpf_skb_store_bytes(skb, 0, mac, sizeof(mac), 0))
		return TC_ACT_SHOT;
	/* Where the stand-in is, for the host's filter by reverse path. */
	return bpf_redirect(own->ifindex, BPF_F_INGRESS);
}

int probes(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct gw_probe_device *own = device.lookup(&zero);
	struct packet pkt = {};

	if (!own)
		return TC_ACT_UNSPEC;

	bool is_ours = parse(skb, &pkt);

	if (skb->ifindex == own->ifindex)
		return is_ours ? leave(skb, &pkt) : TC_ACT_SHOT;
	return is_ours ? arrive(skb, &pkt, own) : TC_ACT_UNSPEC;
}

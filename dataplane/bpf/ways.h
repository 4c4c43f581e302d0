/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The way of a NAT backend's reply to its client: what the kernel's own routes and neighbours
 * say. Asking them takes some 100 ns, so the answer counts for a moment.
 *
 * It is an answer for two addresses, not for a flow: ports and IPv6's flow label are no part
 * of the question. Or else each flow would need a way of its own; and with several routers,
 * flows would jump from one to another with whoever happens to ask.
 */

static __always_inline u8 traffic_class_of(const struct packet *pkt)
{
	const struct ipv6hdr *ip = pkt->ip;

	return pkt->is_ipv6 ? ip->priority << 4 | ip->flow_lbl[0] >> 4 :
			      ((struct iphdr *)pkt->ip)->tos;
}

/* From the network header on. */
static __always_inline u32 bytes_of(const struct packet *pkt)
{
	return pkt->is_ipv6 ? bpf_ntohs(((struct ipv6hdr *)pkt->ip)->payload_len) +
				      sizeof(struct ipv6hdr) :
			      bpf_ntohs(((struct iphdr *)pkt->ip)->tot_len);
}

/* The interface by which the host would get this packet: that of its VLAN, if it has one. */
static __always_inline u32 ingress_of(const struct packet *pkt)
{
	struct gw_port *vlan = is_tagged(pkt) ? find_vlan(pkt) : NULL;

	return vlan ? vlan->ifindex : pkt->in.ifindex;
}

static __always_inline struct gw_journey journey_of(const struct packet *pkt)
{
	return (struct gw_journey){
		.client = pkt->dst.address,
		.backend = pkt->src.address,
		.ingress_ifindex = ingress_of(pkt),
		.protocol = pkt->src.protocol,
		.traffic_class = traffic_class_of(pkt),
	};
}

/* Verifier: the fewer branches, the fewer ways there are to walk. */
static __always_inline bool
is_same_journey(const struct gw_journey *one, const struct gw_journey *other)
{
	return is_equal(&one->client, &other->client) &
	       is_equal(&one->backend, &other->backend) &
	       (one->ingress_ifindex == other->ingress_ifindex) &
	       (*(u32 *)&one->protocol == *(u32 *)&other->protocol);
}

/* Where this CPU remembers the way of such a journey, or of another that falls there too. */
static __always_inline struct gw_way *place_of(const struct gw_journey *journey)
{
	const __be32 *to = journey->client.word;
	u64 sum = GW_HASH_FIRST * to[1] + GW_HASH_SECOND * to[2] + GW_HASH_THIRD * to[3] +
		  GW_HASH_FOURTH * journey->backend.word[3];
	u32 index = (sum >> 32) % GW_WAYS;

	return ways.lookup(&index);
}

static __always_inline bool is_fresh(const struct gw_way *way, const struct gw_journey *journey,
				     u32 bytes)
{
	return bpf_jiffies64() - way->found_ticks < GW_WAY_TICKS && bytes <= way->most_bytes &&
	       is_same_journey(&way->journey, journey);
}

/*
 * Ask the kernel, before the reply is translated. Returns the interface that the way leads
 * out of; NULL if the kernel does not know a next hop, or the interface is not ours.
 */
static __always_inline struct gw_port *
look_up_way(struct xdp_md *ctx, const struct packet *pkt, const struct gw_journey *journey,
	    struct bpf_fib_lookup *fib)
{
	fib->ifindex = journey->ingress_ifindex;
	fib->l4_protocol = journey->protocol;
	fib->tot_len = bytes_of(pkt); /* it minds the MTU */
	if (pkt->is_ipv6) {
		const struct ipv6hdr *ip = pkt->ip;

		fib->family = AF_INET6;
		fib->flowinfo = *(__be32 *)ip & bpf_htonl(TRAFFIC_CLASS_MASK);
		__builtin_memcpy(fib->ipv6_src, &ip->saddr, sizeof(ip->saddr));
		__builtin_memcpy(fib->ipv6_dst, &ip->daddr, sizeof(ip->daddr));
	} else {
		const struct iphdr *ip = pkt->ip;

		fib->family = AF_INET;
		fib->tos = ip->tos;
		fib->ipv4_src = ip->saddr;
		fib->ipv4_dst = ip->daddr;
	}
	if (bpf_fib_lookup(ctx, fib, sizeof(*fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return NULL;
	return find_port(fib->ifindex);
}

static __always_inline void write_way(struct gw_way *way, const struct gw_journey *journey,
				      const struct gw_port *port,
				      const struct bpf_fib_lookup *fib)
{
	way->journey = *journey;
	way->found_ticks = bpf_jiffies64();
	way->segment = port->segment;
	way->most_bytes = fib->tot_len; /* since Linux 5.12 the route's MTU, before as we set it */
	__builtin_memcpy(way->mac, fib->dmac, ETH_ALEN);
	__builtin_memcpy(way->source_mac, fib->smac, ETH_ALEN);
}

static __always_inline bool is_direct(const struct gw_address *address)
{
	struct gw_prefix key = { .length = 8 * sizeof(*address), .address = *address };

	return direct.lookup(&key);
}

/*
 * Whether what a NAT backend sends is for a client, and the way there. GW_REPLIED_NAT: send
 * it, and where there is no way, the host's stack finds one.
 */
static __always_inline enum gw_reason
find_way(struct xdp_md *ctx, const struct packet *pkt, const struct gw_way **found)
{
	if (!is_for_us(pkt))
		return GW_OTHER_STATION;

	struct gw_journey journey = journey_of(pkt);
	struct gw_way *way = place_of(&journey);
	struct bpf_fib_lookup fib = {};

	*found = way;
	if (!way || !is_fresh(way, &journey, bytes_of(pkt))) {
		if (is_direct(&pkt->dst.address)) /* health checks above all */
			return GW_REPLY_DIRECT;

		struct gw_port *port = look_up_way(ctx, pkt, &journey, &fib);

		if (way && port)
			write_way(way, &journey, port, &fib);
		else
			*found = NULL;
	}
	return GW_REPLIED_NAT;
}

/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From a flow to its service and its backend.
 */

/* The bit of an address. The controller computes the same, in dataplane/gates.py. */
static __always_inline u32 gate_of(const struct gw_address *address)
{
	const __be32 *word = address->word;

	return ((word[0] ^ word[1] ^ word[2] ^ word[3]) * 0x9e3779b1) >> 16;
}

/* False: the address is no VIP and no NAT backend's. */
static __always_inline bool may_be_ours(const struct gw_address *address)
{
	u32 zero = 0, gate = gate_of(address);
	struct gw_gates *open = gates.lookup(&zero);

	return open && open->words[gate / 64] >> gate % 64 & 1;
}

/* The entry of an endpoint at its port, or else at every port (0); changes `key`. */
static __always_inline struct gw_entry *find_port_entry(struct gw_endpoint *key)
{
	struct gw_entry *entry = find_entry(key);

	if (entry)
		return entry;
	key->port = 0;
	return find_entry(key);
}

static __always_inline struct gw_service *find_service(const struct packet *pkt)
{
	struct gw_endpoint key = pkt->dst;

	if (!may_be_ours(&key.address))
		return NULL;
	key.role = GW_ROLE_SERVICE;

	struct gw_entry *entry = find_port_entry(&key);

	note_service(entry);
	return entry ? &entry->service : NULL;
}

/* Whom the replies of this endpoint come from; NULL if it is no NAT backend. */
static __always_inline struct gw_return *find_return(const struct gw_endpoint *backend)
{
	struct gw_endpoint key = *backend;

	if (!may_be_ours(&key.address))
		return NULL;
	key.role = GW_ROLE_BACKEND;

	struct gw_entry *entry = find_port_entry(&key);

	return entry ? &entry->reply : NULL;
}

/* A backend that packets may be sent to; NULL if it is none. */
static __always_inline struct gw_backend *find_backend(u32 id)
{
	struct gw_backend *backend = backends.lookup(&id);

	return backend && backend->is_used ? backend : NULL;
}

/* The way to a backend; asked for once, since it may be another the next time. */
static __always_inline const struct gw_hop *hop_to(const struct gw_backend *backend)
{
	return &backend->hops[backend->current & 1];
}

/* Where a NAT backend serves what came to `port`: at its own, or at the same of every port. */
static __always_inline __be16 port_at(const struct gw_backend *backend, __be16 port)
{
	return backend->port ? backend->port : port;
}

/* The slot of the packet's flow; NULL if nobody can serve. */
static __always_inline struct gw_slot *
find_slot(const struct packet *pkt, const struct gw_service *service)
{
	/* A multiplication maps the hash to 0 ... ring_size - 1 evenly, without a division. */
	u64 place = (u64)hash_flow(pkt, service) * service->ring_size >> 32;
	u32 index = service->ring_offset + place;

	struct gw_slot *slot = service->ring_size ? slots.lookup(&index) : NULL;

	note_slot(place, slot);
	return slot;
}

static __always_inline bool is_vip(const struct gw_address *address)
{
	struct gw_endpoint key = { .address = *address, .role = GW_ROLE_VIP };

	return may_be_ours(address) && find_entry(&key);
}

static __always_inline struct gw_port *find_port(u32 ifindex)
{
	u32 index = ifindex % GW_PORTS;
	struct gw_port *port = ports.lookup(&index);

	return port && port->ifindex == ifindex ? port : NULL;
}

static __always_inline bool is_tagged(const struct packet *pkt)
{
	return pkt->in.tags[0] | pkt->in.tags[1];
}

/* The interface that the host has for the VLAN that the frame is tagged with; NULL: none. */
static __always_inline struct gw_port *find_vlan(const struct packet *pkt)
{
	struct gw_segment key = pkt->in; /* a copy: clang keeps in registers what has no address */

	return vlans.lookup(&key);
}

static __always_inline bool has_mac_of(const struct packet *pkt, const struct gw_port *port)
{
	const __be16 *to = (const __be16 *)pkt->eth->h_dest, *we;

	if (!port)
		return false;
	we = (const __be16 *)port->mac;
	return to[0] == we[0] && to[1] == we[1] && to[2] == we[2];
}

/* Whether the frame is for the MAC of a virtual router (RFC 9568, 7.3) that is active here. */
static __always_inline bool is_for_virtual_router(const struct packet *pkt)
{
	const __be16 *to = (const __be16 *)pkt->eth->h_dest;

	if (to[0] || to[1] != bpf_htons(0x5e00)) /* most of what is not for us ends here */
		return false;

	struct gw_port *port = is_tagged(pkt) ? find_vlan(pkt) : find_port(pkt->in.ifindex);
	struct gw_station key = { .mac = { to[0], to[1], to[2] } };

	if (!port)
		return false;
	key.ifindex = port->ifindex;
	return stations.lookup(&key);
}

/*
 * Whether the frame has our MAC: a bridge may flood what is for another. The interface of
 * a VLAN may have one of its own, which counts in that VLAN only.
 */
static __always_inline bool is_for_us(const struct packet *pkt)
{
	return has_mac_of(pkt, find_port(pkt->in.ifindex)) ||
	       (is_tagged(pkt) && has_mac_of(pkt, find_vlan(pkt))) ||
	       is_for_virtual_router(pkt);
}

static __always_inline bool is_broadcast(const struct ethhdr *eth)
{
	const __be16 *to = (const __be16 *)eth->h_dest;

	return (to[0] & to[1] & to[2]) == 0xffff;
}

/* Whether we may take a packet to a VIP from this frame. */
static __always_inline bool is_acceptable(const struct packet *pkt)
{
	return is_for_us(pkt) || is_broadcast(pkt->eth);
}

/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What has to know the family when a packet is changed: addresses, time to live, and the
 * checksum that only IPv4 has.
 */

/* Write an address over an old one; returns `sum` with what replaces what. */
static __always_inline u32
write_address(bool is_ipv6, void *field, const struct gw_address *address, u32 sum)
{
	__be32 *word = field;

	if (!is_ipv6) {
		sum = sum_replace4(sum, *word, address->word[3]);
		*word = address->word[3];
		return sum;
	}
#pragma unroll
	for (int i = 0; i < 4; i++) {
		sum = sum_replace4(sum, word[i], address->word[i]);
		word[i] = address->word[i];
	}
	return sum;
}

static __always_inline void *source_of(const struct packet *pkt)
{
	return pkt->is_ipv6 ? (void *)&((struct ipv6hdr *)pkt->ip)->saddr :
			      (void *)&((struct iphdr *)pkt->ip)->saddr;
}

static __always_inline void *destination_of(const struct packet *pkt)
{
	return pkt->is_ipv6 ? (void *)&((struct ipv6hdr *)pkt->ip)->daddr :
			      (void *)&((struct iphdr *)pkt->ip)->daddr;
}

/* Write an address of the IP header, and mend its checksum; returns the sum for layer 4. */
static __always_inline u32
readdress(struct packet *pkt, void *field, const struct gw_address *address)
{
	u32 sum = write_address(pkt->is_ipv6, field, address, 0);
	struct iphdr *ip = pkt->ip;

	if (!pkt->is_ipv6)
		ip->check = checksum_apply(ip->check, sum);
	return sum;
}

static __always_inline u8 ttl_of(const struct packet *pkt)
{
	return pkt->is_ipv6 ? ((struct ipv6hdr *)pkt->ip)->hop_limit :
			      ((struct iphdr *)pkt->ip)->ttl;
}

static __always_inline void set_ttl(struct packet *pkt, u8 ttl)
{
	struct iphdr *ip = pkt->ip;

	if (pkt->is_ipv6) {
		((struct ipv6hdr *)pkt->ip)->hop_limit = ttl;
		return;
	}
	/* ttl and protocol are one 16-bit word of the header checksum. */
	__be16 *word = (__be16 *)&ip->ttl;
	__be16 old = *word;

	ip->ttl = ttl;
	ip->check = checksum_apply(ip->check, sum_replace2(0, old, *word));
}

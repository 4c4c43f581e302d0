/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Incremental checksums, RFC 1624, equation 3: HC' = ~(~HC + ~m + m').
 *
 * The sum of all ~m + m' is gathered once and applied to each checksum that covers it.
 * One's complement sums do not care about byte order, so all words stay as on the wire.
 */

/* A sum with one 16-bit word replaced. 32 bits have room for thousands of them. */
static __always_inline u32 sum_replace2(u32 sum, __be16 old, __be16 new)
{
	return sum + (u16)~old + new;
}

static __always_inline u32 sum_replace4(u32 sum, __be32 old, __be32 new)
{
	sum = sum_replace2(sum, old & 0xffff, new & 0xffff);
	return sum_replace2(sum, old >> 16, new >> 16);
}

/* Apply a sum of replacements to a checksum. */
static __always_inline __sum16 checksum_apply(__sum16 check, u32 sum)
{
	sum += (u16)~check;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16); /* the first fold may carry once more */
	return ~sum;
}

/* RFC 768: in UDP, no checksum stays no checksum, and a computed 0 is sent as all ones. */
static __always_inline void l4_checksum_apply(struct packet *pkt, u32 sum)
{
	bool udp = pkt->dst.protocol == IPPROTO_UDP;
	__sum16 check = *pkt->l4_check;

	if (udp && !check)
		return;
	check = checksum_apply(check, sum);
	*pkt->l4_check = udp && !check ? 0xffff : check;
}

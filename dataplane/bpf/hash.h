/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The hash of a flow: from who talks to whom, keyed with the service's seed, so that a
 * stranger cannot aim at one backend. Equal on all nodes that share the seed.
 *
 * One shift and one multiplication mix each word in, as in the finalisers of MurmurHash3. The
 * shift comes first: a multiplication carries upwards only, so that a difference in the
 * highest bit alone would stay one in the highest bit alone, and could be cancelled by the
 * next word.
 */

static __always_inline u64 mix(u64 hash, u64 word)
{
	hash ^= word;
	hash ^= hash >> 32;
	return hash * 0xff51afd7ed558ccdULL;
}

static __always_inline u32 hash_flow(const struct packet *pkt, const struct gw_service *service)
{
	const __be32 *src = pkt->src.address.word;
	u64 hash = (u64)service->hash_seed << 32;

	if (service->hash == GW_HASH_FLOW)
		hash |= (u32)pkt->src.port << 16 | pkt->dst.port;
	hash = mix(hash, (u64)src[0] << 32 | src[1]);
	hash = mix(hash, (u64)src[2] << 32 | src[3]);
	hash = mix(hash, pkt->dst.address.word[3]);
	return hash >> 32; /* where a multiplication mixes best */
}

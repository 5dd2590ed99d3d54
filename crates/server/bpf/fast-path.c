// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The fast path: answers plain NTP requests where the driver hands a frame over, before a socket buffer is made of it.
//
// What is not certainly a plain request of 48 octets to an address and port of ours, with good checksums, while the clock may be answered
// from, passes up, and whoever serves on the sockets decides. What is answered here is answered with the octets those would have sent
// (crates/server/src/face.rs, rate.rs and table.rs say the same in Rust, and a test compares them).
//
// The file includes nothing, so that the object depends on the compiler alone. It is for little-endian machines. Layouts of the maps are
// described again in crates/server/src/fast_path/; nobody but noonmarkd has them.
//
// With -DSCRIPTED clocks and chance are read from a map, for the test that compares octets.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* What becomes of a frame: enum xdp_action. */
enum { DROP = 1, PASS = 2, TRANSMIT = 3 };

/* struct xdp_md. */
struct context {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 device;
};

/* Functions of the kernel, by their numbers. The loader puts number 5, CLOCK_MONOTONIC, in the place of number 208 where the kernel has
 * no other (before 6.1). */
static void *(*const look_up)(void *map, const void *key) = (void *)1;
static u32 (*const random_number)(void) = (void *)7;
static u32 (*const processor)(void) = (void *)8;
static u64 (*const boot_clock)(void) = (void *)125;
static u64 (*const tai_clock)(void) = (void *)208;

struct map {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 entries;
	u32 flags;
};

/* BPF_MAP_TYPE_ARRAY and BPF_F_MMAPABLE: all are written and read by mapping them. */
enum { ARRAY = 2, MAPPABLE = 1 << 10 };

/* --- The state of the clock, written by the warden. --- */

enum {
	SEQUENCE, /* odd while it is written */
	ANSWERS,  /* 1 if it may be answered from */
	HEAD,     /* precision (8), stratum (8), leap indicator (8), from bit 0 */
	ROOT,     /* reference id, root delay in the upper half */
	SET_AT,   /* reference time; 0 for a clock served as it stands */
	AS_OF,    /* boot clock, ns */
	ERROR,    /* growth in 10^-9, root dispersion in the upper half */
	LEAP_END, /* until when the leap second is announced, or 0 */
	OFFSET,   /* ns from our clock to UTC since 1970 */
	APART,    /* ns from the boot clock to our clock */
	SUM,      /* over ANSWERS to APART: shows a torn copy even where loads are not done in their order */
	CLOCK_WORDS,
};

SECTION("maps") struct map clock_page = { ARRAY, 4, CLOCK_WORDS * 8, 1, MAPPABLE };

/* --- What the launcher decides. --- */

enum {
	ENABLED,       /* 0: everything passes up */
	VERSIONS,      /* bit n for version n */
	INTERLEAVED,   /* 1: requests that may be in interleaved mode pass up */
	CLASS,         /* DS field of answers */
	LIMITED,       /* 1: there is a rate limit */
	LINES,         /* lines of the table, less one */
	INTERVAL,      /* ticks */
	BURST,
	LEAK,
	KEY,           /* two words */
	PREFIX4 = 11,  /* mask */
	PREFIX6,       /* two words, high bits first */
	FIRST_STEP4 = 14, /* the highest power of two that is not above the number of rules, or 0 */
	FIRST_STEP6,
	DESK_WORDS,
};

SECTION("maps") struct map desk = { ARRAY, 4, DESK_WORDS * 8, 1, MAPPABLE };

/* Where we are asked: an address on a device, maybe under a VLAN, with a port. */
struct place {
	u64 address[2]; /* octets in network order; IPv4 mapped into IPv6 */
	u64 where;      /* device (32), tag (16, NO_TAG for none), port (16, network order); 0: free */
	u64 mac;        /* the device's, octets in their order */
};

enum { PLACES = 512, PROBES = 8, NO_TAG = 0xffff };

SECTION("maps") struct map places = { ARRAY, 4, sizeof(struct place), PLACES, MAPPABLE };

/* Addresses at which another rule of access begins, ascending; the rest, at least one, is full of the highest. */
enum { RULES = 4096 };

/* Address (32), action (32). */
SECTION("maps") struct map rules4 = { ARRAY, 4, 8, RULES, MAPPABLE };

struct rule6 {
	u64 high;
	u64 low;
	u64 action;
};

SECTION("maps") struct map rules6 = { ARRAY, 4, sizeof(struct rule6), RULES, MAPPABLE };

/* What each client prefix has had, as in crates/server/src/table.rs. The loader sets the number of lines. */
enum { SLOTS = 8, TIME_BITS = 40, TICK_SHIFT = 18, KISS_INTERVALS = 8 };
enum { PURSE_PLAIN = 0, PURSE_KISS = 2 };

struct line {
	u64 slots[SLOTS];
};

SECTION("maps") struct map lines = { ARRAY, 4, sizeof(struct line), 1, MAPPABLE };

/* --- What was done, a lane for each processor. The loader sets the number of lanes. --- */

enum {
	ANSWERED,
	ANSWERED_OVER_LIMIT,
	KISS_RATE,
	DROPPED_IGNORED,
	DROPPED_DENIED,
	DROPPED_LIMITED,
	PASSED_FORM,
	PASSED_CHECKSUM,
	PASSED_INTERLEAVED,
	PASSED_CLOCK,
	COUNTERS = 16,
};

struct lane {
	u64 counts[COUNTERS];
};

SECTION("maps") struct map lanes = { ARRAY, 4, sizeof(struct lane), 1, MAPPABLE };

/* By instructions of our own, since the compiler would make one store at a computed address of several at known ones: without CAP_PERFMON the
 * kernel takes none. */
#define counted(counter, verdict)                                                  \
	({                                                                         \
		u32 number = processor();                                          \
		struct lane *lane = look_up(&lanes, &number);                      \
		if (lane) {                                                        \
			u64 count;                                                 \
			__asm__ volatile("%0 = *(u64 *)(%1 + %2)\n\t"              \
					 "%0 += 1\n\t"                             \
					 "*(u64 *)(%1 + %2) = %0"                  \
					 : "=&r"(count)                            \
					 : "r"(lane), "i"((counter) * 8)           \
					 : "memory");                              \
		}                                                                  \
		(verdict);                                                         \
	})

/* --- Clocks and chance. --- */

#ifdef SCRIPTED
enum { BOOT, RECEIVED, LEAVES, CHANCE, NOISE, SCRIPT_WORDS };

SECTION("maps") struct map script = { ARRAY, 4, SCRIPT_WORDS * 8, 1, MAPPABLE };

INLINE u64 scripted(u32 word)
{
	u32 zero = 0;
	u64 *words = look_up(&script, &zero);
	return words ? words[word] : 0;
}
#define CLOCK(scene) scripted(scene)
#define BOOT_CLOCK() scripted(BOOT)
#define CHANCE_NUMBER() ((u32)scripted(CHANCE))
#define NOISE_NUMBER() scripted(NOISE)
#else
#define CLOCK(scene) tai_clock()
#define BOOT_CLOCK() boot_clock()
#define CHANCE_NUMBER() random_number()
#define NOISE_NUMBER() ((u64)random_number() << 32 | random_number())
#endif

/* --- Headers. All parts lie at even addresses, which the machines this is for can load words from. --- */

struct ipv4 {
	u8 version_length;
	u8 class;
	u16 length;
	u16 id;
	u16 fragment;
	u8 hops;
	u8 protocol;
	u16 check;
	u32 source;
	u32 target;
};

struct ipv6 {
	u32 version_class_flow;
	u16 length;
	u8 next;
	u8 hops;
	u32 source[4];
	u32 target[4];
};

struct udp {
	u16 source;
	u16 target;
	u16 length;
	u16 check;
};

struct ntp {
	u32 words[12];
};

enum { ETHERNET = 14, TAGGED = 18, UDP = 17, UDP_LENGTH = 56, IPV4_LENGTH = 76 };
enum { TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, TYPE_TAG = 0x8100 };

INLINE u32 swap16(u32 value)
{
	return __builtin_bswap16((u16)value);
}

INLINE u32 swap32(u32 value)
{
	return __builtin_bswap32(value);
}

/* --- Checksums (RFC 1071), over numbers of 32 bits in network order as numbers. --- */

INLINE u32 folded(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (u32)sum;
}

INLINE u64 sum_of_ports(const struct udp *udp)
{
	return (u64)swap16(udp->source) + swap16(udp->target) + swap16(udp->length) + swap16(udp->check);
}

INLINE u64 sum_of_payload(const struct ntp *ntp)
{
	u64 sum = 0;
#pragma unroll
	for (int at = 0; at < 12; at++)
		sum += swap32(ntp->words[at]);
	return sum;
}

/* --- The table of prefixes. --- */

INLINE u64 rotated(u64 value, u32 bits)
{
	return value << bits | value >> (64 - bits);
}

#define ROUND                          \
	do {                           \
		v0 += v1;              \
		v2 += v3;              \
		v1 = rotated(v1, 13) ^ v0; \
		v3 = rotated(v3, 16) ^ v2; \
		v0 = rotated(v0, 32) + v3; \
		v2 += v1;              \
		v1 = rotated(v1, 17) ^ v2; \
		v3 = rotated(v3, 21) ^ v0; \
		v2 = rotated(v2, 32);  \
	} while (0)

#define TAKE_IN(word)        \
	do {                 \
		v3 ^= (word); \
		ROUND;       \
		v0 ^= (word); \
	} while (0)

/* SipHash-1-3 of three words. */
INLINE u64 hash_of(const u64 *key, u64 high, u64 low, u64 purse)
{
	u64 v0 = key[0] ^ 0x736f6d6570736575ULL;
	u64 v1 = key[1] ^ 0x646f72616e646f6dULL;
	u64 v2 = key[0] ^ 0x6c7967656e657261ULL;
	u64 v3 = key[1] ^ 0x7465646279746573ULL;
	TAKE_IN(high);
	TAKE_IN(low);
	TAKE_IN(purse);
	TAKE_IN(24ULL << 56);
	v2 ^= 0xff;
	ROUND;
	ROUND;
	ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

#define TIME_MASK ((1ULL << TIME_BITS) - 1)

/* Whether the prefix may have one more; then it has had it. */
INLINE int take(const u64 *desk_words, u64 high, u64 low, u64 purse, u64 interval, u64 burst, u64 boot)
{
	u64 now = boot >> TICK_SHIFT & TIME_MASK;
	u64 hash = hash_of(&desk_words[KEY], high, low, purse);
	u64 tag = hash >> TIME_BITS;
	u32 number = (u32)(hash & desk_words[LINES]);
	struct line *line = look_up(&lines, &number);
	u64 least = ~0ULL;
	u32 oldest = 0;

	if (!line)
		return 1;
	if (!tag)
		tag = 1;
#pragma unroll
	for (u32 at = 0; at < SLOTS; at++) {
		u64 entry = *(volatile u64 *)&line->slots[at];
		u64 ahead = (entry - now) & TIME_MASK;
		u64 worth;
		if (ahead > TIME_MASK / 2)
			ahead = 0;
		if (entry >> TIME_BITS == tag) {
			u64 most = interval * burst;
			int is_within = ahead <= most - interval;
			if (ahead > most)
				ahead = most;
			else if (!is_within)
				return 0;
			if (is_within)
				ahead += interval;
			*(volatile u64 *)&line->slots[at] = tag << TIME_BITS | ((now + ahead) & TIME_MASK);
			return is_within;
		}
		worth = entry ? ahead + 1 : 0;
		if (worth < least) {
			least = worth;
			oldest = at;
		}
	}
	/* Not by an index: without CAP_PERFMON the kernel takes no address that is computed. */
#pragma unroll
	for (u32 at = 0; at < SLOTS; at++) {
		if (at == oldest)
			*(volatile u64 *)&line->slots[at] = tag << TIME_BITS | ((now + interval) & TIME_MASK);
	}
	return 1;
}

/* --- Rules of access. --- */

enum { ALLOW, DENY, IGNORE };

/* 1 if one is less than the other, without a branch: with branches there would be as many ways through the search as there are rules. */
INLINE u64 is_less(u64 one, u64 other)
{
	return ((~one & other) | ((~one | other) & (one - other))) >> 63;
}

INLINE u32 action4(u64 step, u32 address)
{
	u32 found = 0;
	u64 *rule;
	/* Beyond whatever action a rule at the very address has. The highest address of all does not come here. */
	u64 after = ((u64)address + 1) << 32;
	for (int turn = 0; turn < 13; turn++) {
		u32 next = found + (u32)step - 1;
		if (!step)
			break;
		rule = look_up(&rules4, &next);
		if (!rule)
			return IGNORE;
		/* Of numbers up to 2^63 the upper bit of the difference is the borrow. */
		found += (u32)step & -(u32)(((*rule >> 1) - (after >> 1)) >> 63);
		step >>= 1;
	}
	if (!found)
		return ALLOW;
	found--;
	rule = look_up(&rules4, &found);
	return rule ? (u32)*rule : IGNORE;
}

INLINE u32 action6(u64 step, u64 high, u64 low)
{
	u32 found = 0;
	struct rule6 *rule;
	for (int turn = 0; turn < 13; turn++) {
		u32 next = found + (u32)step - 1;
		u64 is_after;
		if (!step)
			break;
		rule = look_up(&rules6, &next);
		if (!rule)
			return IGNORE;
		is_after = is_less(high, rule->high)
			| (is_less(low, rule->low) & (1 ^ is_less(rule->high, high)));
		found += (u32)step & ((u32)is_after - 1);
		step >>= 1;
	}
	if (!found)
		return ALLOW;
	found--;
	rule = look_up(&rules6, &found);
	return rule ? (u32)rule->action : IGNORE;
}

/* --- Time. --- */

#define SECOND 1000000000ULL
/* 1900 to 1970, s. */
#define EPOCH 2208988800ULL
#define DAY 86400ULL
/* The warden writes every second; one that has not for so long may not know what has happened to the clock. */
#define STALE (5 * SECOND)
/* So far the two clocks may go apart from what the warden saw: it is not to find small steps, which our clock shows, but whole seconds. */
#define APART_BY (SECOND / 2)
/* Leap seconds come at midnight, and nobody says so to a program like this: around it the sockets answer. */
#define BEFORE_MIDNIGHT 2
#define AFTER_MIDNIGHT 3

INLINE u64 never_unset(u64 stamp)
{
	return stamp ? stamp : 1;
}

/* Receive stamps are odd and transmit stamps even, so that a client that names one in interleaved mode is known by it. */
INLINE u64 transmit_stamp(u64 stamp)
{
	return stamp > 1 ? stamp & ~1ULL : 2;
}

/* 2^-32 s since 1900, of ns since 1970. */
INLINE u64 stamp_of(u64 time)
{
	return ((time / SECOND + EPOCH) << 32) + ((time % SECOND) << 32) / SECOND;
}

struct facts {
	u64 words[CLOCK_WORDS];
};

/* Copies the page out. 0 if it cannot be answered from. */
INLINE int read_clock(struct facts *facts)
{
	u32 zero = 0;
	volatile u64 *page = look_up(&clock_page, &zero);
	u64 sum = 0, before;
	if (!page)
		return 0;
	before = page[SEQUENCE];
#pragma unroll
	for (int at = ANSWERS; at < CLOCK_WORDS; at++)
		facts->words[at] = page[at];
	if (before & 1 || page[SEQUENCE] != before)
		return 0;
#pragma unroll
	for (int at = ANSWERS; at < SUM; at++)
		sum = (sum ^ facts->words[at]) * 0x9e3779b97f4a7c15ULL;
	return sum == facts->words[SUM] && facts->words[ANSWERS] == 1;
}

/* 2^-16 s, rounded up, of the bound at the time of the page and what it has grown since. */
INLINE u32 dispersion(const struct facts *facts, u64 passed)
{
	u64 grown = passed * (u32)facts->words[ERROR] / SECOND;
	u64 total = (facts->words[ERROR] >> 32 << 16) + ((grown << 32) + SECOND / 2) / SECOND;
	u64 units = (total + 0xffff) >> 16;
	return units > 0xffffffff ? 0xffffffff : (u32)units;
}

/* --- The answer. --- */

/* What is known of a request before its payload is looked at. */
struct caller {
	/* Client's address as a number; IPv4 mapped into IPv6. */
	u64 high;
	u64 low;
	/* Checksum of the pseudo header, the same in both directions. */
	u64 pseudo;
	/* What the clock showed. */
	u64 received;
};

/* Decides and writes UDP and NTP. TRANSMIT: the caller has to write what is around it. */
INLINE int answer(const u64 *desk_words, const struct caller *caller, struct udp *udp, struct ntp *ntp, u32 is_ipv6)
{
	struct facts facts;
	u64 boot, noise_mask, noise, time, receive, transmit, set_at, sum;
	u32 first, version, leap, stratum, precision, action, id, counter = ANSWERED;
	s64 apart;

	first = ntp->words[0] & 0xff;
	version = first >> 3 & 7;
	/* Mode 3, version 3 or 4 if that is answered. */
	if ((first & 7) != 3 || (version != 3 && version != 4) || !(desk_words[VERSIONS] >> version & 1))
		return counted(PASSED_FORM, PASS);
	if (udp->length != swap16(UDP_LENGTH) || !udp->source)
		return counted(PASSED_FORM, PASS);
	/* RFC 9769: the origin may be a receive stamp of ours, which is odd, and its own two stamps differ. */
	if (desk_words[INTERLEAVED] && swap32(ntp->words[7]) & 1
	    && (ntp->words[8] != ntp->words[10] || ntp->words[9] != ntp->words[11]))
		return counted(PASSED_INTERLEAVED, PASS);
	/* Over IPv4 a request may have none. One that is wrong may be half done, for a device that is not asked to: the kernel knows. */
	if (is_ipv6 || udp->check) {
		sum = caller->pseudo + sum_of_ports(udp) + sum_of_payload(ntp);
		if (!udp->check || folded(sum) != 0xffff)
			return counted(PASSED_CHECKSUM, PASS);
	}
	if (!read_clock(&facts))
		return counted(PASSED_CLOCK, PASS);
	boot = BOOT_CLOCK();
	apart = (s64)(caller->received - boot - facts.words[APART]);
	if (apart > (s64)APART_BY || apart < -(s64)APART_BY)
		return counted(PASSED_CLOCK, PASS);
	/* Shorter than nothing for a page that has just been written by another processor. */
	boot = boot > facts.words[AS_OF] ? boot : facts.words[AS_OF];
	if (boot - facts.words[AS_OF] > STALE)
		return counted(PASSED_CLOCK, PASS);
	time = caller->received + facts.words[OFFSET];
	if ((time / SECOND + BEFORE_MIDNIGHT) % DAY < BEFORE_MIDNIGHT + AFTER_MIDNIGHT)
		return counted(PASSED_CLOCK, PASS);

	if (is_ipv6)
		action = action6(desk_words[FIRST_STEP6], caller->high, caller->low);
	else
		action = action4(desk_words[FIRST_STEP4], (u32)caller->low);
	if (UNLIKELY(action != ALLOW))
		return action == DENY ? counted(DROPPED_DENIED, DROP) : counted(DROPPED_IGNORED, DROP);

	leap = facts.words[HEAD] >> 16 & 3;
	stratum = facts.words[HEAD] >> 8 & 0xff;
	precision = facts.words[HEAD] & 0xff;
	id = (u32)facts.words[ROOT];

	if (desk_words[LIMITED]) {
		u64 high = caller->high, low = caller->low;
		u64 interval = desk_words[INTERVAL];
		if (is_ipv6) {
			high &= desk_words[PREFIX6];
			low &= desk_words[PREFIX6 + 1];
		} else {
			low &= 0xffff00000000ULL | desk_words[PREFIX4];
		}
		if (!take(desk_words, high, low, PURSE_PLAIN, interval, desk_words[BURST], boot)) {
			u32 leak = (u32)desk_words[LEAK];
			if (leak && (CHANCE_NUMBER() & 0xffff) % leak == 0) {
				counter = ANSWERED_OVER_LIMIT;
			} else if (take(desk_words, high, low, PURSE_KISS, interval * KISS_INTERVALS, 1, boot)) {
				counter = KISS_RATE;
			} else {
				return counted(DROPPED_LIMITED, DROP);
			}
		}
	}

	/* Random bits fill what the clock cannot tell (RFC 5905 section 6). */
	noise_mask = 0;
	/* Of a precision from 2^-31 to 2^-1 s; what is coarser is not answered from here. */
	if (precision > 0xe0)
		noise_mask = (1ULL << ((precision - 0xe0) & 31)) - 1;
	noise = NOISE_NUMBER();
	receive = (stamp_of(time) & ~noise_mask) | (noise & noise_mask) | 1;

	/* The request is read for the last time: what it said is the origin of the answer. */
	ntp->words[6] = ntp->words[10];
	ntp->words[7] = ntp->words[11];
	udp->target = udp->source;

	transmit = stamp_of(CLOCK(LEAVES) + facts.words[OFFSET]);
	transmit = transmit_stamp((transmit & ~noise_mask) | (noise >> 32 & noise_mask));
	/* A clock may be set back between the two. */
	if ((s64)(transmit - receive) <= 0)
		transmit = transmit_stamp(receive + 2);

	if (leap && facts.words[LEAP_END] && (s64)(transmit - facts.words[LEAP_END]) >= 0)
		leap = 0;
	set_at = facts.words[SET_AT];
	if (!set_at || (s64)(transmit - set_at) < 0)
		set_at = never_unset(transmit & ~0xfffffffffULL);
	if (UNLIKELY(counter == KISS_RATE)) {
		leap = 3;
		stratum = 0;
		id = 0x52415445;
	}
	{
		u32 poll = swap32(ntp->words[0]) >> 8 & 0xff;
		u32 error = dispersion(&facts, boot - facts.words[AS_OF]);
		u32 delay = (u32)(facts.words[ROOT] >> 32);
		ntp->words[0] = swap32(leap << 30 | version << 27 | 4 << 24 | stratum << 16 | poll << 8 | precision);
		ntp->words[1] = swap32(delay);
		ntp->words[2] = swap32(error);
		ntp->words[3] = swap32(id);
		ntp->words[4] = swap32((u32)(set_at >> 32));
		ntp->words[5] = swap32((u32)set_at);
		ntp->words[8] = swap32((u32)(receive >> 32));
		ntp->words[9] = swap32((u32)receive);
		ntp->words[10] = swap32((u32)(transmit >> 32));
		ntp->words[11] = swap32((u32)transmit);
	}
	if (UNLIKELY(counter == KISS_RATE))
		return counted(KISS_RATE, TRANSMIT);
	if (UNLIKELY(counter == ANSWERED_OVER_LIMIT))
		return counted(ANSWERED_OVER_LIMIT, TRANSMIT);
	return counted(ANSWERED, TRANSMIT);
}

/* Fills in what `answer` left: ports and checksum. */
INLINE void finish(struct udp *udp, const struct ntp *ntp, u64 pseudo, u16 port)
{
	u32 sum;
	udp->source = port;
	udp->check = 0;
	sum = ~folded(pseudo + sum_of_ports(udp) + sum_of_payload(ntp)) & 0xffff;
	udp->check = swap16(sum ? sum : 0xffff);
}

/* --- Frames. --- */

INLINE u64 mac_at(const u8 *octets)
{
	return *(const u32 *)octets | (u64) * (const u16 *)(octets + 4) << 32;
}

INLINE void put_mac(u8 *octets, u64 mac)
{
	*(u32 *)octets = (u32)mac;
	*(u16 *)(octets + 4) = (u16)(mac >> 32);
}

/* Whether that is an address and port of ours, at the address of its device. */
INLINE int is_ours(const u64 *address, u64 where, u64 mac)
{
	u64 hash = (address[0] ^ address[1] * 0x9e3779b97f4a7c15ULL ^ where) * 0xbf58476d1ce4e5b9ULL;
	u32 first = (u32)(hash >> 55);
#pragma unroll
	for (u32 probe = 0; probe < PROBES; probe++) {
		u32 number = (first + probe) & (PLACES - 1);
		struct place *place = look_up(&places, &number);
		if (!place || !place->where)
			return 0;
		if (place->where == where && place->address[0] == address[0] && place->address[1] == address[1])
			return place->mac == mac;
	}
	return 0;
}

SECTION("xdp") int fast_path(struct context *context)
{
	u8 *frame = (u8 *)(long)context->data;
	u8 *end = (u8 *)(long)context->data_end;
	u32 zero = 0, type, tag = NO_TAG;
	u8 *network = frame + ETHERNET;
	u64 target, sender, *desk_words;

	/* The shortest frame with a request. */
	if (UNLIKELY(frame + ETHERNET + IPV4_LENGTH > end))
		return PASS;
	type = swap16(*(u16 *)(frame + 12));
	if (type == TYPE_TAG) {
		tag = swap16(*(u16 *)(frame + 14)) & 0xfff;
		type = swap16(*(u16 *)(frame + 16));
		network = frame + TAGGED;
	}
	target = mac_at(frame);
	sender = mac_at(frame + 6);
	/* From a group nothing comes. */
	if (sender & 1)
		return PASS;

	if (type == TYPE_IPV4) {
		struct ipv4 *ip = (struct ipv4 *)network;
		struct udp *udp = (struct udp *)(ip + 1);
		struct ntp *ntp = (struct ntp *)(udp + 1);
		u64 address[2], sum;
		struct caller caller;
		u32 head;
		u16 port;
		if ((u8 *)(ntp + 1) > end)
			return PASS;
		/* Without options, and whole: all but "don't fragment" is about parts. */
		if (ip->version_length != 0x45 || ip->protocol != UDP || (ip->fragment & ~swap16(0x4000)) != 0)
			return PASS;
		port = udp->target;
		address[0] = 0;
		address[1] = 0xffff0000ULL | (u64)ip->target << 32;
		if (!is_ours(address, (u64)port << 48 | (u64)tag << 32 | context->device, target))
			return PASS;
		desk_words = look_up(&desk, &zero);
		if (!desk_words || !desk_words[ENABLED])
			return PASS;
		caller.received = CLOCK(RECEIVED);
		/* Nothing behind it, and nothing missing. The compiler must not make one comparison of two: only these the kernel understands. */
		__asm__ volatile("" : "+r"(end));
		if ((u8 *)(ntp + 1) + 1 <= end || ip->length != swap16(IPV4_LENGTH))
			return counted(PASSED_FORM, PASS);
		head = swap32(ip->source) >> 24;
		if (head == 0 || head == 127 || head >= 224)
			return counted(PASSED_FORM, PASS);
		sum = (u64)0x4500 + ip->class + IPV4_LENGTH + swap16(ip->id) + swap16(ip->fragment)
			+ ((u32)ip->hops << 8 | UDP) + swap16(ip->check) + swap32(ip->source) + swap32(ip->target);
		if (folded(sum) != 0xffff)
			return counted(PASSED_CHECKSUM, PASS);
		caller.high = 0;
		caller.low = 0xffff00000000ULL | swap32(ip->source);
		caller.pseudo = (u64)swap32(ip->source) + swap32(ip->target) + UDP + UDP_LENGTH;
		{
			int verdict = answer(desk_words, &caller, udp, ntp, 0);
			if (verdict != TRANSMIT)
				return verdict;
		}
		finish(udp, ntp, caller.pseudo, port);
		{
			u32 source = ip->source;
			ip->class = (u8)desk_words[CLASS];
			ip->id = 0;
			ip->fragment = swap16(0x4000);
			ip->hops = 64;
			ip->source = ip->target;
			ip->target = source;
			sum = (u64)0x4500 + (u8)desk_words[CLASS] + IPV4_LENGTH + 0x4000 + (64 << 8 | UDP)
				+ swap32(ip->source) + swap32(source);
			ip->check = swap16(~folded(sum) & 0xffff);
		}
	} else if (type == TYPE_IPV6) {
		struct ipv6 *ip = (struct ipv6 *)network;
		struct udp *udp = (struct udp *)(ip + 1);
		struct ntp *ntp = (struct ntp *)(udp + 1);
		u64 address[2], pseudo = UDP + UDP_LENGTH;
		struct caller caller;
		u16 port;
		if ((u8 *)(ntp + 1) > end)
			return PASS;
		if ((ip->version_class_flow & 0xf0) != 0x60 || ip->next != UDP)
			return PASS;
		port = udp->target;
		address[0] = ip->target[0] | (u64)ip->target[1] << 32;
		address[1] = ip->target[2] | (u64)ip->target[3] << 32;
		if (!is_ours(address, (u64)port << 48 | (u64)tag << 32 | context->device, target))
			return PASS;
		desk_words = look_up(&desk, &zero);
		if (!desk_words || !desk_words[ENABLED])
			return PASS;
		caller.received = CLOCK(RECEIVED);
		__asm__ volatile("" : "+r"(end));
		if ((u8 *)(ntp + 1) + 1 <= end || ip->length != swap16(UDP_LENGTH))
			return counted(PASSED_FORM, PASS);
		/* Groups, and ::/64, where loopback, "none" and IPv4 written as IPv6 lie. */
		if ((ip->source[0] & 0xff) == 0xff || !(ip->source[0] | ip->source[1]))
			return counted(PASSED_FORM, PASS);
#pragma unroll
		for (int at = 0; at < 4; at++)
			pseudo += (u64)swap32(ip->source[at]) + swap32(ip->target[at]);
		caller.high = (u64)swap32(ip->source[0]) << 32 | swap32(ip->source[1]);
		caller.low = (u64)swap32(ip->source[2]) << 32 | swap32(ip->source[3]);
		caller.pseudo = pseudo;
		{
			int verdict = answer(desk_words, &caller, udp, ntp, 1);
			if (verdict != TRANSMIT)
				return verdict;
		}
		finish(udp, ntp, pseudo, port);
		ip->version_class_flow = swap32((u32)6 << 28 | (u32)(u8)desk_words[CLASS] << 20);
		ip->hops = 64;
#pragma unroll
		for (int at = 0; at < 4; at++) {
			u32 source = ip->source[at];
			ip->source[at] = ip->target[at];
			ip->target[at] = source;
		}
	} else {
		return PASS;
	}
	put_mac(frame, sender);
	put_mac(frame + 6, target);
	return TRANSMIT;
}

/* Nothing called here asks for more than this. */
SECTION("license") char terms[] = "Apache-2.0 OR MIT";

/* A parser for batches: RFC 8259 in UTF-8, one pass, keys matched after their
 * escapes are resolved, the last of duplicate keys wins. */
#include "twin.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	char *at, *end;
	struct batch *batch;
	const char *error;
	int depth;
};

static bool fail(struct parser *p, const char *error)
{
	if (p->error == NULL)
		p->error = error;
	return false;
}

static const char *const invalid = "invalid JSON";

bool text_is(struct text t, const char *literal)
{
	return t.length == strlen(literal) && memcmp(t.at, literal, t.length) == 0;
}

static void skip_space(struct parser *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
		p->at++;
}

/* Skips white space, then takes the byte c. */
static bool take(struct parser *p, char c)
{
	skip_space(p);
	if (p->at == p->end || *p->at != c)
		return false;
	p->at++;
	return true;
}

static bool expect(struct parser *p, char c)
{
	return take(p, c) || fail(p, invalid);
}

static char peek(struct parser *p)
{
	skip_space(p);
	return p->at < p->end ? *p->at : '\0';
}

static bool literal(struct parser *p, const char *word)
{
	size_t n = strlen(word);
	if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0)
		return fail(p, invalid);
	p->at += n;
	return true;
}

static int hex4(const char *at, const char *end)
{
	int value = 0;
	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = at[i];
		int digit = c >= '0' && c <= '9' ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static char *put_utf8(char *out, int rune)
{
	if (rune < 0x80) {
		*out++ = (char)rune;
	} else if (rune < 0x800) {
		*out++ = (char)(0xC0 | rune >> 6);
		*out++ = (char)(0x80 | (rune & 0x3F));
	} else if (rune < 0x10000) {
		*out++ = (char)(0xE0 | rune >> 12);
		*out++ = (char)(0x80 | (rune >> 6 & 0x3F));
		*out++ = (char)(0x80 | (rune & 0x3F));
	} else {
		*out++ = (char)(0xF0 | rune >> 18);
		*out++ = (char)(0x80 | (rune >> 12 & 0x3F));
		*out++ = (char)(0x80 | (rune >> 6 & 0x3F));
		*out++ = (char)(0x80 | (rune & 0x3F));
	}
	return out;
}

/* Takes a \u escape behind its \u; a lone surrogate reads as U+FFFD. */
static char *escape_unicode(struct parser *p, char *out)
{
	int rune = hex4(p->at, p->end);
	if (rune < 0)
		return NULL;
	p->at += 4;
	if (rune >= 0xD800 && rune < 0xE000) {
		int low = -1;
		if (rune < 0xDC00 && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u')
			low = hex4(p->at + 2, p->end);
		if (low >= 0xDC00 && low < 0xE000) {
			p->at += 6;
			rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
		} else {
			rune = 0xFFFD;
		}
	}
	return put_utf8(out, rune);
}

static char *escape(struct parser *p, char *out)
{
	if (p->at == p->end)
		return NULL;
	char c = *p->at++;
	switch (c) {
	case '"': case '\\': case '/': *out++ = c; return out;
	case 'b': *out++ = '\b'; return out;
	case 'f': *out++ = '\f'; return out;
	case 'n': *out++ = '\n'; return out;
	case 'r': *out++ = '\r'; return out;
	case 't': *out++ = '\t'; return out;
	case 'u': return escape_unicode(p, out);
	}
	return NULL;
}

/* The length of the UTF-8 sequence at p, 0 where it is none (RFC 3629). */
static int utf8_length(const unsigned char *p, const char *end)
{
	long left = (const unsigned char *)end - p;
	unsigned char c = p[0];
	int n = c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
	if (n == 0 || left < n)
		return 0;
	for (int i = 1; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) ||
	    (c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F))
		return 0;
	return n;
}

/* Takes a string and decodes it in place: no decoded form is longer than its
 * source. */
static bool string(struct parser *p, struct text *t)
{
	if (!expect(p, '"'))
		return false;
	char *out = p->at;
	t->at = out;
	while (p->at < p->end) {
		unsigned char c = (unsigned char)*p->at;
		if (c == '"') {
			p->at++;
			t->length = (size_t)(out - t->at);
			return true;
		}
		if (c < 0x20)
			return fail(p, invalid);
		if (c == '\\') {
			p->at++;
			out = escape(p, out);
			if (out == NULL)
				return fail(p, invalid);
		} else if (c < 0x80) {
			*out++ = (char)c;
			p->at++;
		} else {
			int n = utf8_length((unsigned char *)p->at, p->end);
			if (n == 0)
				return fail(p, invalid);
			while (n-- > 0)
				*out++ = *p->at++;
		}
	}
	return fail(p, invalid);
}

static bool digits(struct parser *p)
{
	char *start = p->at;
	while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
		p->at++;
	return p->at > start;
}

/* Takes a number's literal and tells whether it is written as an integer. */
static bool number_literal(struct parser *p, bool *integer)
{
	*integer = true;
	if (p->at < p->end && *p->at == '-')
		p->at++;
	if (p->at < p->end && *p->at == '0')
		p->at++;
	else if (!digits(p))
		return fail(p, invalid);
	if (p->at < p->end && *p->at == '.') {
		*integer = false;
		p->at++;
		if (!digits(p))
			return fail(p, invalid);
	}
	if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
		*integer = false;
		p->at++;
		if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
			p->at++;
		if (!digits(p))
			return fail(p, invalid);
	}
	return true;
}

static bool number(struct parser *p, double *value)
{
	bool integer;
	char c = peek(p);
	if (c != '-' && (c < '0' || c > '9'))
		return fail(p, "value must be a number");
	const char *start = p->at;
	if (!number_literal(p, &integer))
		return false;
	/* The body ends in a NUL, so strtod cannot run past it. */
	*value = strtod(start, NULL);
	return isfinite(*value) || fail(p, "value not finite");
}

static bool timestamp(struct parser *p, struct metric *m)
{
	static const char *const wrong = "timestamp must be an integer (Unix milliseconds)";
	bool integer;
	char c = peek(p);
	if (c != '-' && (c < '0' || c > '9'))
		return fail(p, wrong);
	const char *start = p->at;
	if (!number_literal(p, &integer))
		return false;
	errno = 0;
	m->timestamp_ms = strtoll(start, NULL, 10);
	m->has_timestamp = true;
	return (integer && errno == 0) || fail(p, wrong);
}

static bool skip_value(struct parser *p);

static bool skip_members(struct parser *p, char close, bool keys)
{
	struct text ignored;
	p->at++;
	if (take(p, close))
		return true;
	do {
		if (keys && (!string(p, &ignored) || !expect(p, ':')))
			return false;
		if (!skip_value(p))
			return false;
	} while (take(p, ','));
	return expect(p, close);
}

static bool skip_value(struct parser *p)
{
	struct text ignored;
	bool integer, ok;
	switch (peek(p)) {
	case '"': return string(p, &ignored);
	case 't': return literal(p, "true");
	case 'f': return literal(p, "false");
	case 'n': return literal(p, "null");
	case '{': case '[':
		if (++p->depth > max_depth)
			return fail(p, "invalid JSON: nested deeper than 10,000");
		ok = *p->at == '{' ? skip_members(p, '}', true) : skip_members(p, ']', false);
		p->depth--;
		return ok;
	}
	return number_literal(p, &integer);
}

static bool set_tag(struct batch *b, struct metric *m, struct tag tag)
{
	for (uint32_t i = m->first_tag; i < b->tag_count; i++) {
		struct text key = b->tag_list[i].key;
		if (key.length == tag.key.length && memcmp(key.at, tag.key.at, key.length) == 0) {
			b->tag_list[i].value = tag.value;
			return true;
		}
	}
	if (b->tag_count == b->tag_room) {
		uint32_t room = b->tag_room ? 2 * b->tag_room : 8;
		struct tag *larger = realloc(b->tag_list, room * sizeof *larger);
		if (larger == NULL)
			return false;
		b->tag_list = larger;
		b->tag_room = room;
	}
	b->tag_list[b->tag_count++] = tag;
	m->tags = b->tag_count - m->first_tag;
	return true;
}

static bool tags(struct parser *p, struct metric *m)
{
	m->first_tag = p->batch->tag_count; /* a repeated key replaces the whole */
	m->tags = 0;
	if (peek(p) == 'n')
		return literal(p, "null");
	if (!take(p, '{'))
		return fail(p, "tags must be an object");
	if (take(p, '}'))
		return true;
	do {
		struct tag tag;
		if (!string(p, &tag.key) || !expect(p, ':'))
			return false;
		if (peek(p) != '"')
			return fail(p, "tag values must be strings");
		if (!string(p, &tag.value))
			return false;
		if (!set_tag(p->batch, m, tag))
			return fail(p, "out of memory");
	} while (take(p, ','));
	return expect(p, '}');
}

/* Takes a string or null, which counts as missing. */
static bool string_or_null(struct parser *p, struct text *t, const char *wrong)
{
	switch (peek(p)) {
	case '"': return string(p, t);
	case 'n':
		*t = (struct text){0};
		return literal(p, "null");
	}
	return fail(p, wrong);
}

static bool member(struct parser *p, struct metric *m, struct text key)
{
	if (text_is(key, "name"))
		return string_or_null(p, &m->name, "name must be a string");
	if (text_is(key, "type"))
		return string_or_null(p, &m->type, "type must be a string");
	if (text_is(key, "tags"))
		return tags(p, m);
	if (text_is(key, "timestamp"))
		return timestamp(p, m);
	if (!text_is(key, "value"))
		return skip_value(p);
	if (peek(p) == 'n') {
		m->value = NAN;
		return literal(p, "null");
	}
	return number(p, &m->value);
}

static bool metric(struct parser *p)
{
	struct batch *b = p->batch;
	struct text key;
	if (b->count == max_metrics)
		return fail(p, "more than 1,000 metrics");
	if (b->count == b->metric_room) {
		uint32_t room = b->metric_room ? 2 * b->metric_room : 4;
		struct metric *larger = realloc(b->metrics, room * sizeof *larger);
		if (larger == NULL)
			return fail(p, "out of memory");
		b->metrics = larger;
		b->metric_room = room;
	}
	struct metric *m = &b->metrics[b->count++];
	*m = (struct metric){.value = NAN, .first_tag = b->tag_count};
	if (!take(p, '{'))
		return fail(p, "each of the metrics must be an object");
	if (take(p, '}'))
		return true;
	do {
		if (!string(p, &key) || !expect(p, ':') || !member(p, m, key))
			return false;
	} while (take(p, ','));
	return expect(p, '}');
}

static bool metrics(struct parser *p)
{
	p->batch->count = 0;
	p->batch->tag_count = 0;
	if (peek(p) == 'n')
		return literal(p, "null");
	if (!take(p, '['))
		return fail(p, "metrics must be an array");
	if (take(p, ']'))
		return true;
	do {
		if (!metric(p))
			return false;
	} while (take(p, ','));
	return expect(p, ']');
}

static bool document(struct parser *p)
{
	struct text key;
	if (!take(p, '{'))
		return fail(p, "body must be a JSON object");
	p->depth = 1;
	if (!take(p, '}')) {
		do {
			if (!string(p, &key) || !expect(p, ':'))
				return false;
			if (!(text_is(key, "metrics") ? metrics(p) : skip_value(p)))
				return false;
		} while (take(p, ','));
		if (!expect(p, '}'))
			return false;
	}
	skip_space(p);
	return p->at == p->end || fail(p, invalid);
}

static size_t characters(struct text t)
{
	size_t n = 0;
	for (size_t i = 0; i < t.length; i++)
		n += ((unsigned char)t.at[i] & 0xC0) != 0x80;
	return n;
}

static const char *check(struct batch *b)
{
	if (b->count == 0)
		return "empty batch";
	for (uint32_t i = 0; i < b->count; i++) {
		struct metric *m = &b->metrics[i];
		if (m->name.length == 0)
			return "empty or missing name";
		if (m->name.length > max_name && characters(m->name) > max_name)
			return "name over 255 characters";
		if (isnan(m->value))
			return "missing value";
		if (m->type.at == NULL)
			m->type = (struct text){"gauge", 5};
		if (!text_is(m->type, "gauge") && !text_is(m->type, "counter") &&
		    !text_is(m->type, "histogram") && !text_is(m->type, "summary"))
			return "type must be counter, gauge, histogram or summary";
	}
	return NULL;
}

const char *batch_parse(struct batch *b, size_t length)
{
	struct parser p = {.at = b->body, .end = b->body + length, .batch = b};
	if (!document(&p))
		return p.error;
	return check(b);
}

struct batch *batch_new(void)
{
	return calloc(1, sizeof(struct batch));
}

void batch_free(struct batch *b)
{
	if (b == NULL)
		return;
	free(b->body);
	free(b->metrics);
	free(b->tag_list);
	free(b);
}

/*
 * What alerts look like to programs: every byte of the webhook's JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alert/payload.h"
#include "base/clock.h"

#define AT INT64_C(1795262651123000) /* 2026-11-21T12:04:11.123Z */

static struct store_alert
alert_row(char *text, char *reason, int64_t batch)
{
	static char event[] = "batch.opened", channel[] = "ops", environment[] = "staging",
		    who[] = "gate";

	return (struct store_alert){.row = 9,
				    .event_id = 42,
				    .at = AT,
				    .event = event,
				    .channel = channel,
				    .environment = environment,
				    .text = text,
				    .who = who,
				    .reason = reason,
				    .batch = batch,
				    .count = 7};
}

static void
test_json_without_batch(void **state)
{
	char text[] = "staging: \"quoted\" \\ ü", reason[] = "volume";
	struct store_alert a = alert_row(text, reason, 0);
	struct buf out = {0};

	(void)state;
	payload_json(&a, NULL, 0, "gate.example", &out);
	assert_string_equal(
	    buf_text(&out),
	    "{\"event\":\"batch.opened\",\"id\":42,\"at\":\"2026-11-21T12:04:11.123Z\","
	    "\"environment\":\"staging\",\"text\":\"staging: \\\"quoted\\\" \\\\ "
	    "ü\",\"who\":\"gate\","
	    "\"reason\":\"volume\",\"batch\":null,\"gate\":\"gate.example\",\"audit\":null}");
	buf_free(&out);
}

static void
test_json_with_batch(void **state)
{
	char text[] = "x", reason[] = "";
	struct store_alert a = alert_row(text, reason, 17);
	const struct store_batch b = {.id = 17,
				      .state = STORE_BATCH_HELD,
				      .collecting = true,
				      .opened_at = AT,
				      .last_at = AT + CLOCK_SECOND,
				      .environment = "staging",
				      .rule = "volume",
				      .key = "k",
				      .source = "10.2.0.7",
				      .sender = "a@example.com",
				      .subject = "hi",
				      .limit = 50,
				      .window = 10 * CLOCK_MINUTE,
				      .messages = 5,
				      .recipients = 6,
				      .leaked = 7,
				      .bytes = 8,
				      .held = 9,
				      .released = 10,
				      .sent = 11,
				      .failed = 12,
				      .discarded = 13,
				      .decided_by = "",
				      .decided_reason = ""};
	struct buf out = {0};

	(void)state;
	payload_json(&a, &b, 4, "g", &out);
	assert_non_null(strstr(
	    buf_text(&out),
	    "\"batch\":{\"id\":\"B17\",\"state\":\"held\",\"environment\":\"staging\",\"rule\":"
	    "\"volume\","
	    "\"key\":\"k\",\"source\":\"10.2.0.7\",\"sender\":\"a@example.com\",\"subject\":\"hi\","
	    "\"opened_at\":\"2026-11-21T12:04:11.123Z\",\"last_at\":\"2026-11-21T12:04:12.123Z\","
	    "\"messages\":5,\"recipients\":6,\"distinct_recipients\":4,\"sampled\":false,"
	    "\"leaked\":7,\"bytes\":8,"
	    "\"held\":9,\"released\":10,\"sent\":11,\"failed\":12,\"discarded\":13,\"purged\":0,"
	    "\"limit\":50,"
	    "\"window\":600,\"collecting\":true,\"decided_by\":\"\",\"decided_reason\":\"\","
	    "\"decided_at\":null},\"gate\":\"g\",\"audit\":null}"));
	buf_free(&out);
}

struct text_row {
	const char *name, *text, *reason;
	int64_t batch;
	const char *wanted;
};

static void
test_json_text(void **state)
{
	static const struct text_row rows[] = {
	    {"no UTF-8", "a\xff\xc3(", "", 0, "\"text\":\"a\xef\xbf\xbd\xef\xbf\xbd(\""},
	    {"control characters", "a\001\033b", "", 0, "\"text\":\"a\\u0001\\u001Bb\""},
	    {"end of line", "a\r\nb", "", 0, "\"text\":\"a\\r\\nb\""},
	    {"empty", "", "", 0, "\"text\":\"\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[100], reason[] = "";
		struct store_alert a;
		struct buf out = {0};

		snprintf(text, sizeof(text), "%s", rows[i].text);
		a = alert_row(text, reason, 0);
		payload_json(&a, NULL, 0, "g", &out);
		if (strstr(buf_text(&out), rows[i].wanted) == NULL)
			fail_msg("%s: got %s", rows[i].name, buf_text(&out));
		buf_free(&out);
	}
} /* It carries the head of the audit log's chain. */
static void
test_audit_head(void **state)
{
	char text[] = "x", reason[] = "";
	struct store_alert a = alert_row(text, reason, 0);
	struct buf out = {0};

	(void)state;
	a.audit_id = 57;
	memset(a.audit_hash, 'a', sizeof(a.audit_hash) - 1);
	memset(a.audit_hash, 'b', 32);
	payload_json(&a, NULL, 0, "g", &out);
	assert_non_null(strstr(buf_text(&out),
			       "\"audit\":{\"id\":57,\"hash\":\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
			       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}"));
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_json_without_batch),
	    cmocka_unit_test(test_json_with_batch),
	    cmocka_unit_test(test_audit_head),
	    cmocka_unit_test(test_json_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * POST /v1/alerts/test: does a channel work?
 */
#ifndef CONTROL_ALERT_TEST_H
#define CONTROL_ALERT_TEST_H

struct request;

void alert_test_post(struct request *r);

#endif

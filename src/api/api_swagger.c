/*
 * GET /swagger-ui (contract §2.3): the document of api_openapi.c as a page.  Runs in workers.  One
 * file of ours that loads nothing but the document; the policy allows its own script and style by
 * their hashes and nothing else.
 */
#include "api/api_int.h"
#include "codec/codec_hash.h"

extern const char api_swagger_html[];
extern const size_t api_swagger_html_size;

/* 'sha256-…' of the text between the tags; the page has one element of each. */
static void add_hash(struct fp_buf *b, struct fp_str page, const char *open, const char *close)
{
    uint8_t digest[FP_SHA256_BYTES];
    const char *from = memmem(page.data, page.len, open, strlen(open)) + strlen(open);
    size_t left = page.len - (size_t)(from - page.data);
    const char *to = memmem(from, left, close, strlen(close));
    fp_sha256(from, (size_t)(to - from), digest);
    fp_buf_append_c(b, "'sha256-");
    fp_base64_encode(b, digest, sizeof(digest));
    fp_buf_append_c(b, "'");
}

static void make_policy(struct fp_buf *b, struct fp_str page)
{
    fp_buf_append_c(b, "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action "
                       "'none'; frame-ancestors 'none'; script-src ");
    add_hash(b, page, "<script>", "</script>");
    fp_buf_append_c(b, "; style-src ");
    add_hash(b, page, "<style>", "</style>");
}

void api_swagger(struct fp_api_call *c)
{
    struct fp_api *api = c->api;
    if (!api->swagger.text.data) {
        struct fp_str page = fp_str_n(api_swagger_html, api_swagger_html_size);
        make_policy(&api->swagger_policy, page);
        api_page_seal(&api->swagger, page);
    }
    c->media = "text/html; charset=utf-8";
    api_header_add(&c->headers, "content-security-policy", fp_buf_str(&api->swagger_policy));
    api_header_add(&c->headers, "referrer-policy", FP_STR("no-referrer"));
    api_page_answer(c, &api->swagger);
}

/* Intrusive doubly linked list.  A node that is in no list has next == NULL. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct fp_list {
    struct fp_list *next, *prev;
};

#define FP_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define FP_LIST_FOREACH(it, head)                                                                  \
    for (struct fp_list *it = (head)->next; it != (head); it = it->next)
#define FP_LIST_FOREACH_SAFE(it, head)                                                             \
    for (struct fp_list *it = (head)->next, *it##_n = it->next; it != (head);                      \
         it = it##_n, it##_n = it->next)

static inline void fp_list_init(struct fp_list *head)
{
    head->next = head->prev = head;
}
static inline bool fp_list_empty(const struct fp_list *head)
{
    return head->next == head;
}
static inline bool fp_list_linked(const struct fp_list *n)
{
    return n->next != NULL;
}
static inline void fp_list_push_back(struct fp_list *head, struct fp_list *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}
static inline void fp_list_push_front(struct fp_list *head, struct fp_list *n)
{
    fp_list_push_back(head->next, n);
}
static inline void fp_list_remove(struct fp_list *n) /* no-op when not linked */
{
    if (!n->next)
        return;
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = NULL;
}
static inline struct fp_list *fp_list_pop_front(struct fp_list *head) /* NULL when empty */
{
    if (fp_list_empty(head))
        return NULL;
    struct fp_list *n = head->next;
    fp_list_remove(n);
    return n;
}

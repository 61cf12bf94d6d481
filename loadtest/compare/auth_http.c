/* The auth_http server that nginx's mail proxy needs, as lean as C makes it: one search and one bind per login.
 *
 *   auth_http SOCKET LDAP_ADDRESS LDAP_PORT BASE BIND_DN BIND_PASSWORD BACKEND_PORT
 *
 * It listens on the Unix socket SOCKET and asks an LDAP server (RFC 4511, by hand-made BER) over kept connections: one
 * that carries up to OUTSTANDING searches at a time, BINDERS that check one password at a time each. That is what
 * Vestibule does. The user's mailHost has to be an IP address and is what nginx is sent to. It is written to be measured:
 * when the directory goes away it ends, saying so.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_FDS = 65536, BINDERS = 8, OUTSTANDING = 256, REQUEST = 4096, NAME = 256, DN = 512, ANSWER = 16384 };
enum { BIND = 0x60, BOUND = 0x61, SEARCH = 0x63, ENTRY = 0x64, FOUND = 0x65, SEQUENCE = 0x30, OCTETS = 0x04 };

struct login {
    int fd;
    size_t have;
    char request[REQUEST + 1];
    char user[NAME], password[NAME], dn[DN], host[64];
    struct login *next;
};

struct queue {
    struct login *first, *last;
};

struct connection {
    int fd;
    size_t have;
    unsigned char answer[ANSWER];
    struct login *checking; /* whose password this one checks */
};

static struct login *logins[MOST_FDS];
static struct login *searching[OUTSTANDING];
static struct queue to_search, to_check;
static struct connection searcher, binders[BINDERS];
static const char *base, *backend_port;
static int poller;

static void fail(const char *what)
{
    fprintf(stderr, "auth_http: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- BER ---------------------------------------------------------------------------------------------------------- */

struct ber {
    unsigned char bytes[2048];
    size_t begin; /* written from the end: lengths are known then */
};

static void put(struct ber *out, const void *bytes, size_t count)
{
    if (count > out->begin)
        fail("a request is too long");
    out->begin -= count;
    memcpy(out->bytes + out->begin, bytes, count);
}

static void put_head(struct ber *out, int tag, size_t end)
{
    size_t length = end - out->begin;
    unsigned char head[4] = {(unsigned char)tag, 0x82, (unsigned char)(length >> 8), (unsigned char)length};
    if (length < 128) {
        head[1] = (unsigned char)length;
        put(out, head, 2);
    } else
        put(out, head, 4);
}

static void put_text(struct ber *out, int tag, const char *text)
{
    size_t end = out->begin;
    put(out, text, strlen(text));
    put_head(out, tag, end);
}

static void put_number(struct ber *out, int tag, unsigned number)
{
    unsigned char bytes[3] = {(unsigned char)(number >> 16), (unsigned char)(number >> 8), (unsigned char)number};
    size_t end = out->begin;
    if (number < 128)
        put(out, bytes + 2, 1);
    else
        put(out, bytes, 3);
    put_head(out, tag, end);
}

/* The element at *at: its tag (0 while it is incomplete) and content; *at moves behind it. */
static int take(const unsigned char **at, const unsigned char *end, const unsigned char **content, size_t *length)
{
    const unsigned char *p = *at;
    size_t size;
    int tag;
    if (end - p < 2)
        return 0;
    tag = *p++;
    size = *p++;
    if (size & 0x80) {
        size_t digits = size & 0x7f;
        if (digits > 4 || (size_t)(end - p) < digits)
            return 0;
        for (size = 0; digits; digits--)
            size = size << 8 | *p++;
    }
    if ((size_t)(end - p) < size)
        return 0;
    *content = p;
    *length = size;
    *at = p + size;
    return tag;
}

static unsigned number_of(const unsigned char *content, size_t length)
{
    unsigned number = 0;
    while (length--)
        number = number << 8 | *content++;
    return number;
}

static void copy(char *to, size_t room, const unsigned char *from, size_t length)
{
    if (length >= room)
        length = 0; /* too long to be true: as if it were missing */
    memcpy(to, from, length);
    to[length] = 0;
}

static void send_message(struct connection *to, struct ber *out, unsigned id)
{
    put_number(out, 0x02, id);
    put_head(out, SEQUENCE, sizeof out->bytes);
    if (write(to->fd, out->bytes + out->begin, sizeof out->bytes - out->begin) != (ssize_t)(sizeof out->bytes - out->begin))
        fail("the directory takes no more");
}

static void send_bind(struct connection *to, const char *dn, const char *password)
{
    struct ber out = {.begin = sizeof out.bytes};
    put_text(&out, 0x80, password);
    put_text(&out, OCTETS, dn);
    put_number(&out, 0x02, 3);
    put_head(&out, BIND, sizeof out.bytes);
    send_message(to, &out, 1);
}

static void send_search(unsigned slot, const char *user)
{
    struct ber out = {.begin = sizeof out.bytes};
    unsigned char no = 0;
    size_t end = out.begin;
    put_text(&out, OCTETS, "mailHost");
    put_text(&out, OCTETS, "uid");
    put_head(&out, SEQUENCE, end);
    end = out.begin;
    put_text(&out, OCTETS, user);
    put_text(&out, OCTETS, "uid");
    put_head(&out, 0xa3, end); /* equality */
    end = out.begin;
    put(&out, &no, 1);
    put_head(&out, 0x01, end);
    put_number(&out, 0x02, 5);  /* time limit */
    put_number(&out, 0x02, 2);  /* size limit */
    put_number(&out, 0x0a, 0);  /* aliases: never */
    put_number(&out, 0x0a, 2);  /* subtree */
    put_text(&out, OCTETS, base);
    put_head(&out, SEARCH, sizeof out.bytes);
    send_message(&searcher, &out, slot + 1);
}

/* --- a login ------------------------------------------------------------------------------------------------------ */

static void append(struct queue *queue, struct login *login)
{
    login->next = NULL;
    if (queue->last)
        queue->last->next = login;
    else
        queue->first = login;
    queue->last = login;
}

static struct login *shift(struct queue *queue)
{
    struct login *login = queue->first;
    if (login && !(queue->first = login->next))
        queue->last = NULL;
    return login;
}

/* A queue may still hold it when nginx has gone: then `fd` is -1, and it is freed by whoever meets it. */
static void end_login(struct login *login)
{
    if (login->fd >= 0) {
        logins[login->fd] = NULL;
        close(login->fd);
        login->fd = -1;
    }
}

static void answer(struct login *login, int ok)
{
    char text[256];
    int length = ok ? snprintf(text, sizeof text,
                               "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: %s\r\nAuth-Port: %s\r\n\r\n",
                               login->host, backend_port)
                    : snprintf(text, sizeof text, "HTTP/1.0 200 OK\r\nAuth-Status: Invalid credentials\r\n\r\n");
    if (login->fd >= 0 && write(login->fd, text, (size_t)length) != length)
        fprintf(stderr, "auth_http: nginx did not take an answer\n");
    end_login(login);
    free(login);
}

static void ask(void)
{
    struct login *login;
    for (unsigned slot = 0; slot < OUTSTANDING && to_search.first; slot++)
        if (!searching[slot]) {
            searching[slot] = login = shift(&to_search);
            send_search(slot, login->user);
        }
    for (int i = 0; i < BINDERS && to_check.first; i++)
        if (!binders[i].checking) {
            binders[i].checking = login = shift(&to_check);
            send_bind(&binders[i], login->dn, login->password);
        }
}

static void on_message(struct connection *from, const unsigned char *message, size_t length)
{
    const unsigned char *end = message + length, *value, *content;
    size_t size;
    unsigned id;
    struct login *login;
    int tag;
    take(&message, end, &value, &size);
    id = number_of(value, size);
    tag = take(&message, end, &content, &size);
    end = content + size;
    if (tag == BOUND && (login = from->checking)) {
        take(&content, end, &value, &size);
        from->checking = NULL;
        answer(login, number_of(value, size) == 0);
    } else if (tag == ENTRY && id && id <= OUTSTANDING && (login = searching[id - 1])) {
        const unsigned char *attributes, *attribute, *name;
        if (take(&content, end, &value, &size))
            copy(login->dn, sizeof login->dn, value, size);
        if (!take(&content, end, &attributes, &size))
            return;
        for (end = attributes + size; take(&attributes, end, &attribute, &size);) {
            const unsigned char *last = attribute + size, *values;
            size_t name_length;
            if (!take(&attribute, last, &name, &name_length) || !take(&attribute, last, &values, &size))
                return;
            if (name_length == 8 && !strncasecmp((const char *)name, "mailHost", 8) &&
                take(&values, values + size, &value, &size))
                copy(login->host, sizeof login->host, value, size);
        }
    } else if (tag == FOUND && id && id <= OUTSTANDING && (login = searching[id - 1])) {
        searching[id - 1] = NULL;
        if (login->dn[0] && login->host[0] && login->password[0])
            append(&to_check, login);
        else
            answer(login, 0);
    }
}

static void on_directory(struct connection *from)
{
    const unsigned char *at = from->answer, *end, *message;
    size_t length;
    ssize_t count = read(from->fd, from->answer + from->have, sizeof from->answer - from->have);
    if (count <= 0) {
        if (count < 0 && errno == EAGAIN)
            return;
        fail("the directory closed a connection");
    }
    from->have += (size_t)count;
    end = from->answer + from->have;
    while (take(&at, end, &message, &length))
        on_message(from, message, length);
    from->have = (size_t)(end - at);
    memmove(from->answer, at, from->have);
}

/* The value of a header, without nginx's %-escapes; empty if it is missing or too long. */
static void header(const char *request, const char *name, char *to, size_t room)
{
    const char *at = strcasestr(request, name);
    size_t length = 0;
    to[0] = 0;
    if (!at)
        return;
    for (at += strlen(name); *at && *at != '\r' && length + 1 < room; length++) {
        unsigned byte = (unsigned char)*at++;
        if (byte == '%' && sscanf(at, "%2x", &byte) == 1)
            at += 2;
        to[length] = (char)byte;
    }
    to[*at == '\r' ? length : 0] = 0;
}

static void on_request(struct login *login)
{
    ssize_t count = read(login->fd, login->request + login->have, REQUEST - login->have);
    if (count <= 0) {
        if (count < 0 && errno == EAGAIN)
            return;
        if (login->user[0])
            end_login(login);
        else {
            end_login(login);
            free(login);
        }
        return;
    }
    login->have += (size_t)count;
    login->request[login->have] = 0;
    if (login->user[0] || !strstr(login->request, "\r\n\r\n"))
        return;
    header(login->request, "\r\nAuth-User: ", login->user, sizeof login->user);
    header(login->request, "\r\nAuth-Pass: ", login->password, sizeof login->password);
    if (login->user[0])
        append(&to_search, login);
    else
        answer(login, 0);
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
        fail("epoll_ctl");
}

static void on_nginx(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (fd >= MOST_FDS || !(logins[fd] = calloc(1, sizeof(struct login)))) {
        close(fd);
        return;
    }
    logins[fd]->fd = fd;
    watch(fd);
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

static void connect_to_directory(struct connection *to, const char *address, const char *port)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    inet_pton(AF_INET, address, &where.sin_addr);
    to->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (to->fd < 0 || connect(to->fd, (struct sockaddr *)&where, sizeof where))
        fail("the directory cannot be reached");
    fcntl(to->fd, F_SETFL, O_NONBLOCK);
    watch(to->fd);
}

static int listen_on(const char *path)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    strncpy(where.sun_path, path, sizeof where.sun_path - 1);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where) || chmod(path, 0666) || listen(fd, 65535))
        fail(path);
    watch(fd);
    return fd;
}

static void on_event(int fd, int listener)
{
    if (fd == listener)
        on_nginx(listener);
    else if (fd == searcher.fd)
        on_directory(&searcher);
    else if (logins[fd])
        on_request(logins[fd]);
    else
        for (int i = 0; i < BINDERS; i++)
            if (fd == binders[i].fd)
                on_directory(&binders[i]);
}

int main(int count, char **words)
{
    int listener;
    if (count != 8) {
        fprintf(stderr, "usage: auth_http SOCKET LDAP_ADDRESS LDAP_PORT BASE BIND_DN BIND_PASSWORD BACKEND_PORT\n");
        return 2;
    }
    base = words[4];
    backend_port = words[7];
    poller = epoll_create1(EPOLL_CLOEXEC);
    connect_to_directory(&searcher, words[2], words[3]);
    send_bind(&searcher, words[5], words[6]); /* its answer belongs to no login; searches follow on the same connection */
    for (int i = 0; i < BINDERS; i++)
        connect_to_directory(&binders[i], words[2], words[3]);
    listener = listen_on(words[1]);
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++)
            on_event(events[i].data.fd, listener);
        ask();
    }
}

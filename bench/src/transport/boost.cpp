// Boost.Interprocess's message_queue for boost.rs. Exceptions end here: results are 0 or a
// length, or a negative errno.
#include <boost/interprocess/ipc/message_queue.hpp>

#include <cerrno>
#include <sys/types.h>

namespace ipc = boost::interprocess;

extern "C" {

ipc::message_queue *bench_boost_create(const char *name, size_t depth, size_t size)
{
    try {
        return new ipc::message_queue(ipc::create_only, name, depth, size);
    } catch (...) {
        return nullptr;
    }
}

ipc::message_queue *bench_boost_open(const char *name)
{
    try {
        return new ipc::message_queue(ipc::open_only, name);
    } catch (...) {
        return nullptr;
    }
}

void bench_boost_close(ipc::message_queue *queue)
{
    delete queue;
}

void bench_boost_remove(const char *name)
{
    ipc::message_queue::remove(name);
}

int bench_boost_send(ipc::message_queue *queue, const void *message, size_t len,
                     unsigned int priority, bool waits)
{
    try {
        if (waits)
            queue->send(message, len, priority);
        else if (!queue->try_send(message, len, priority))
            return -EAGAIN;
        return 0;
    } catch (...) {
        return -EIO;
    }
}

ssize_t bench_boost_receive(ipc::message_queue *queue, void *message, size_t room, bool waits)
{
    try {
        ipc::message_queue::size_type len = 0;
        unsigned int priority = 0;
        if (waits)
            queue->receive(message, room, len, priority);
        else if (!queue->try_receive(message, room, len, priority))
            return -EAGAIN;
        return ssize_t(len);
    } catch (...) {
        return -EIO;
    }
}

}  // extern "C"

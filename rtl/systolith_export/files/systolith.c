/* Driver of the Systolith accelerator; the header tells how to use it. */
#include "systolith.h"

#include <stddef.h>
#include <string.h>

#define IMAGE_MAGIC "SYSTOLTH"
#define IMAGE_VERSION 2u
#define IMAGE_PREFIX 20u
#define IMAGE_ALIGNMENT 4096u

/* Registers */

uint32_t systolith_mmio_read(void *context, uint32_t offset)
{
    return ((const volatile uint32_t *)context)[offset / 4];
}

void systolith_mmio_write(void *context, uint32_t offset, uint32_t value)
{
    ((volatile uint32_t *)context)[offset / 4] = value;
}

static uint32_t get(const struct systolith_device *device, uint32_t offset)
{
    return device->platform.read(device->platform.context, offset);
}

static void set(const struct systolith_device *device, uint32_t offset, uint32_t value)
{
    device->platform.write(device->platform.context, offset, value);
}

/* Image header: JSON, read where it lies. All functions stop at the end of the text. */

struct cursor {
    const char *at;
    const char *end;
};

static void skip_space(struct cursor *text)
{
    while (text->at < text->end && strchr(" \t\r\n", *text->at) && *text->at)
        text->at++;
}

static int accept(struct cursor *text, char wanted)
{
    skip_space(text);
    if (text->at == text->end || *text->at != wanted)
        return 0;
    text->at++;
    return 1;
}

/* Reads a string without its escapes; returns whether there was one. */
static int read_string(struct cursor *text, const char **start, size_t *length)
{
    if (!accept(text, '"'))
        return 0;
    *start = text->at;
    while (text->at < text->end && *text->at != '"')
        text->at += *text->at == '\\' && text->end - text->at > 1 ? 2 : 1;
    *length = (size_t)(text->at - *start);
    return accept(text, '"');
}

static int skip_value(struct cursor *text)
{
    unsigned depth = 0;
    const char *start;
    size_t length;

    do {
        skip_space(text);
        if (text->at == text->end)
            return 0;
        if (*text->at == '"') {
            if (!read_string(text, &start, &length))
                return 0;
        } else if (*text->at == '{' || *text->at == '[') {
            depth++;
            text->at++;
        } else if (*text->at == '}' || *text->at == ']') {
            if (!depth)
                return 0;
            depth--;
            text->at++;
        } else if (*text->at == ',' || *text->at == ':') {
            if (!depth)
                return 0;
            text->at++;
        } else {
            start = text->at;
            while (text->at < text->end && !strchr(",:]} \t\r\n", *text->at))
                text->at++;
            if (text->at == start)
                return 0;
        }
    } while (depth);
    return 1;
}

/* Moves from before an object to the value of a key in it. */
static int find_key(struct cursor *text, const char *key)
{
    const char *start;
    size_t length;

    if (!accept(text, '{'))
        return 0;
    do {
        if (!read_string(text, &start, &length) || !accept(text, ':'))
            return 0;
        if (length == strlen(key) && !memcmp(start, key, length))
            return 1;
        if (!skip_value(text))
            return 0;
    } while (accept(text, ','));
    return 0;
}

/* Moves from before an array to its element `index`. */
static int find_element(struct cursor *text, uint32_t index)
{
    if (!accept(text, '['))
        return 0;
    skip_space(text);
    if (text->at == text->end || *text->at == ']')
        return 0;
    for (; index; index--)
        if (!skip_value(text) || !accept(text, ','))
            return 0;
    return 1;
}

static int read_number(struct cursor *text, uint32_t *value)
{
    const char *start;

    skip_space(text);
    start = text->at;
    for (*value = 0; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++) {
        uint32_t digit = (uint32_t)(*text->at - '0');
        if (*value > (UINT32_MAX - digit) / 10)
            return 0;
        *value = *value * 10 + digit;
    }
    return text->at != start;
}

static int number_of(struct cursor object, const char *key, uint32_t *value)
{
    if (!find_key(&object, key))
        return 0;
    skip_space(&object);
    if (object.end - object.at >= 4 && !memcmp(object.at, "true", 4)) {
        *value = 1;
        return 1;
    }
    if (object.end - object.at >= 5 && !memcmp(object.at, "false", 5)) {
        *value = 0;
        return 1;
    }
    return read_number(&object, value);
}

static struct cursor header_of(const struct systolith_image *image)
{
    struct cursor text;

    text.at = image->header;
    text.end = image->header + image->header_size;
    return text;
}

/* Images */

static uint32_t little_endian(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* CRC-32 (IEEE 802.3), bit by bit: an image is checked once. */
static uint32_t checksum(const uint8_t *bytes, uint32_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    unsigned bit;

    while (size--) {
        crc ^= *bytes++;
        for (bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

int systolith_image_open(struct systolith_image *image, const void *file, uint32_t size)
{
    const uint8_t *bytes = file;
    uint32_t header_size;

    if (size < IMAGE_PREFIX || memcmp(bytes, IMAGE_MAGIC, 8) || little_endian(bytes + 8) != IMAGE_VERSION)
        return SYSTOLITH_NO_IMAGE;
    header_size = little_endian(bytes + 12);
    if (header_size > size - IMAGE_PREFIX
        || checksum(bytes + IMAGE_PREFIX, size - IMAGE_PREFIX) != little_endian(bytes + 16))
        return SYSTOLITH_DAMAGED_IMAGE;
    image->header = (const char *)bytes + IMAGE_PREFIX;
    image->header_size = header_size;
    image->contents = bytes + IMAGE_PREFIX + header_size;
    image->size = size - IMAGE_PREFIX - header_size;
    return SYSTOLITH_OK;
}

int systolith_step(const struct systolith_image *image, uint32_t index, struct systolith_step *step)
{
    struct cursor text = header_of(image);

    if (!find_key(&text, "steps"))
        return SYSTOLITH_DAMAGED_IMAGE;
    if (!find_element(&text, index))
        return SYSTOLITH_NOT_FOUND;
    step->program = 0;
    step->operator_index = 0;
    step->on_host = number_of(text, "operator", &step->operator_index);
    if (!step->on_host && !number_of(text, "program", &step->program))
        return SYSTOLITH_DAMAGED_IMAGE;
    return SYSTOLITH_OK;
}

/* Bytes of an element from the digits in the name of its type: "int8", "float32"; "bool" has none. */
static uint32_t element_size(struct cursor record)
{
    const char *name;
    size_t length, i;
    uint32_t bits = 0;

    if (!find_key(&record, "dtype") || !read_string(&record, &name, &length))
        return 0;
    for (i = 0; i < length; i++)
        if (name[i] >= '0' && name[i] <= '9')
            bits = bits * 10 + (uint32_t)(name[i] - '0');
    return bits ? bits / 8 : 1;
}

int systolith_tensor(const struct systolith_image *image, const char *list, uint32_t index,
                     struct systolith_tensor *tensor)
{
    struct cursor text = header_of(image), shape;
    uint32_t dimension, axis, room;

    if (!find_key(&text, list))
        return SYSTOLITH_NOT_FOUND;
    if (!find_element(&text, index))
        return SYSTOLITH_NOT_FOUND;
    tensor->size = element_size(text);
    shape = text;
    if (!tensor->size || !number_of(text, "offset", &tensor->offset) || !find_key(&shape, "shape"))
        return SYSTOLITH_DAMAGED_IMAGE;
    for (axis = 0;; axis++) {
        struct cursor element = shape;
        if (!find_element(&element, axis))
            break;
        if (!read_number(&element, &dimension) || (dimension && tensor->size > UINT32_MAX / dimension))
            return SYSTOLITH_DAMAGED_IMAGE;
        tensor->size *= dimension;
    }
    room = image->size;
    if (tensor->offset > room || tensor->size > room - tensor->offset)
        return SYSTOLITH_DAMAGED_IMAGE;
    return SYSTOLITH_OK;
}

/* Device */

int systolith_open(struct systolith_device *device, const struct systolith_platform *platform, uint32_t watchdog)
{
    memset(device, 0, sizeof *device);
    device->platform = *platform;
    device->state = SYSTOLITH_OK;
    if (get(device, SYSTOLITH_ID) != SYSTOLITH_ID_VALUE)
        return SYSTOLITH_NO_DEVICE;
    if (get(device, SYSTOLITH_VERSION) != SYSTOLITH_VERSION_VALUE)
        return SYSTOLITH_WRONG_VERSION;
    set(device, SYSTOLITH_WATCHDOG, watchdog);
    set(device, SYSTOLITH_INTERRUPT, platform->wait ? SYSTOLITH_INTERRUPT_ENABLE : 0);
    set(device, SYSTOLITH_CONTROL, SYSTOLITH_CONTROL_CLEAR);
    return SYSTOLITH_OK;
}

/* Whether the image was compiled for this device: every field that shapes data or commands. */
static int configuration_agrees(const struct systolith_device *device, const struct systolith_image *image)
{
    static const struct {
        const char *key;
        uint32_t offset, mask, lsb;
    } fields[] = {
        {"rows", SYSTOLITH_CONFIG_ROWS, UINT32_MAX, 0},
        {"cols", SYSTOLITH_CONFIG_COLS, UINT32_MAX, 0},
        {"activation_bytes", SYSTOLITH_CONFIG_ACTIVATION, UINT32_MAX, 0},
        {"activation_banks", SYSTOLITH_CONFIG_BANKS, UINT32_MAX, 0},
        {"weight_bytes", SYSTOLITH_CONFIG_WEIGHT, UINT32_MAX, 0},
        {"parameter_bytes", SYSTOLITH_CONFIG_PARAMETER, UINT32_MAX, 0},
        {"accumulator_depth", SYSTOLITH_CONFIG_ACCUMULATOR, UINT32_MAX, 0},
        {"vector_lanes", SYSTOLITH_CONFIG_LANES, UINT32_MAX, 0},
        {"parameter_groups", SYSTOLITH_CONFIG_GROUPS, UINT32_MAX, 0},
        {"axi_data_width", SYSTOLITH_CONFIG_AXI, UINT32_MAX, 0},
        {"residual_add", SYSTOLITH_CONFIG_FEATURES, SYSTOLITH_CONFIG_FEATURES_RESIDUAL_ADD,
         SYSTOLITH_CONFIG_FEATURES_RESIDUAL_ADD_LSB},
        {"pooling", SYSTOLITH_CONFIG_FEATURES, SYSTOLITH_CONFIG_FEATURES_POOLING,
         SYSTOLITH_CONFIG_FEATURES_POOLING_LSB},
        {"softmax", SYSTOLITH_CONFIG_FEATURES, SYSTOLITH_CONFIG_FEATURES_SOFTMAX,
         SYSTOLITH_CONFIG_FEATURES_SOFTMAX_LSB},
        {"depthwise_streams", SYSTOLITH_CONFIG_FEATURES, SYSTOLITH_CONFIG_FEATURES_DEPTHWISE_STREAMS,
         SYSTOLITH_CONFIG_FEATURES_DEPTHWISE_STREAMS_LSB},
    };
    struct cursor text = header_of(image);
    size_t i;

    if (!find_key(&text, "config"))
        return 0;
    for (i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint32_t value, present = (get(device, fields[i].offset) & fields[i].mask) >> fields[i].lsb;
        if (!number_of(text, fields[i].key, &value) || value != present)
            return 0;
    }
    return 1;
}

static void clean(const struct systolith_device *device, const void *data, uint32_t size)
{
    if (device->platform.clean)
        device->platform.clean(device->platform.context, data, size);
}

int systolith_load(struct systolith_device *device, const struct systolith_image *image, void *memory,
                   uint32_t address, uint32_t room)
{
    uint32_t writable;

    if (device->state == SYSTOLITH_RUNNING)
        return SYSTOLITH_RUNNING;
    if (address % IMAGE_ALIGNMENT)
        return SYSTOLITH_MISALIGNED;
    if (image->size > room)
        return SYSTOLITH_NO_ROOM;
    if (!configuration_agrees(device, image))
        return SYSTOLITH_WRONG_CONFIGURATION;
    if (!number_of(header_of(image), "writable", &writable) || writable > image->size)
        return SYSTOLITH_DAMAGED_IMAGE;
    memcpy(memory, image->contents, image->size);
    clean(device, memory, image->size);
    device->image = image;
    device->memory = memory;
    device->address = address;
    set(device, SYSTOLITH_BASE, address);
    set(device, SYSTOLITH_LIMIT, image->size);
    set(device, SYSTOLITH_WRITABLE, writable);
    return SYSTOLITH_OK;
}

int systolith_write(struct systolith_device *device, const struct systolith_tensor *tensor, const void *data)
{
    if (!device->image)
        return SYSTOLITH_NO_IMAGE;
    if (device->state == SYSTOLITH_RUNNING)
        return SYSTOLITH_RUNNING;
    memcpy(device->memory + tensor->offset, data, tensor->size);
    clean(device, device->memory + tensor->offset, tensor->size);
    return SYSTOLITH_OK;
}

int systolith_read(struct systolith_device *device, const struct systolith_tensor *tensor, void *data)
{
    if (!device->image)
        return SYSTOLITH_NO_IMAGE;
    if (device->state == SYSTOLITH_RUNNING)
        return SYSTOLITH_RUNNING;
    if (device->platform.invalidate)
        device->platform.invalidate(device->platform.context, device->memory + tensor->offset, tensor->size);
    memcpy(data, device->memory + tensor->offset, tensor->size);
    return SYSTOLITH_OK;
}

int systolith_start(struct systolith_device *device, uint32_t program)
{
    if (!device->image)
        return SYSTOLITH_NO_IMAGE;
    if (device->state == SYSTOLITH_RUNNING)
        return SYSTOLITH_RUNNING;
    memset(&device->error, 0, sizeof device->error);
    device->program = program;
    device->state = SYSTOLITH_RUNNING;
    set(device, SYSTOLITH_PROGRAM, program);
    set(device, SYSTOLITH_CONTROL, SYSTOLITH_CONTROL_START);
    return SYSTOLITH_OK;
}

static void keep_error(struct systolith_device *device)
{
    uint32_t error = get(device, SYSTOLITH_ERROR);

    device->error.code = (error & SYSTOLITH_ERROR_CODE) >> SYSTOLITH_ERROR_CODE_LSB;
    device->error.engine = (error & SYSTOLITH_ERROR_ENGINE) >> SYSTOLITH_ERROR_ENGINE_LSB;
    device->error.response = (error & SYSTOLITH_ERROR_RESPONSE) >> SYSTOLITH_ERROR_RESPONSE_LSB;
    device->error.address = get(device, SYSTOLITH_ERROR_ADDRESS);
    device->error.position = device->error.address - device->address;
    device->error.program = device->program;
}

int systolith_poll(struct systolith_device *device)
{
    uint32_t status;

    if (device->state != SYSTOLITH_RUNNING)
        return device->state;
    status = get(device, SYSTOLITH_STATUS);
    if (!(status & SYSTOLITH_STATUS_DONE))
        return SYSTOLITH_RUNNING;
    if (status & SYSTOLITH_STATUS_ERROR)
        keep_error(device);
    set(device, SYSTOLITH_CONTROL, SYSTOLITH_CONTROL_CLEAR);
    device->state = status & SYSTOLITH_STATUS_ERROR ? SYSTOLITH_FAILED : SYSTOLITH_OK;
    return device->state;
}

int systolith_interrupt(struct systolith_device *device)
{
    return systolith_poll(device);
}

int systolith_state(const struct systolith_device *device)
{
    return device->state;
}

void systolith_abort(struct systolith_device *device)
{
    if (device->state == SYSTOLITH_RUNNING)
        set(device, SYSTOLITH_CONTROL, SYSTOLITH_CONTROL_ABORT);
}

int systolith_finish(struct systolith_device *device)
{
    if (!device->platform.wait)
        while (systolith_poll(device) == SYSTOLITH_RUNNING)
            ;
    else
        while (device->state == SYSTOLITH_RUNNING)
            device->platform.wait(device->platform.context);
    return device->state;
}

int systolith_run(struct systolith_device *device)
{
    struct systolith_step step;
    uint32_t index;
    int result;

    if (!device->image)
        return SYSTOLITH_NO_IMAGE;
    for (index = 0; (result = systolith_step(device->image, index, &step)) == SYSTOLITH_OK; index++) {
        if (step.on_host)
            return SYSTOLITH_HOST_OPERATOR;
        if ((result = systolith_start(device, step.program)) != SYSTOLITH_OK)
            return result;
        if ((result = systolith_finish(device)) != SYSTOLITH_OK)
            return result;
    }
    return result == SYSTOLITH_NOT_FOUND ? SYSTOLITH_OK : result;
}

void systolith_read_counters(const struct systolith_device *device, struct systolith_counters *counters)
{
#define READ_COUNTER(member, offset) counters->member = get(device, offset);
    SYSTOLITH_COUNTERS(READ_COUNTER)
#undef READ_COUNTER
}

const struct systolith_error *systolith_last_error(const struct systolith_device *device)
{
    return &device->error;
}

/* Words */

const char *systolith_error_text(uint32_t code)
{
    switch (code) {
    case SYSTOLITH_ERROR_CODE_NONE: return "none, or aborted";
    case SYSTOLITH_ERROR_CODE_READ_RESPONSE: return "read answered with an error";
    case SYSTOLITH_ERROR_CODE_WRITE_RESPONSE: return "write answered with an error";
    case SYSTOLITH_ERROR_CODE_BAD_COMMAND: return "unknown command";
    case SYSTOLITH_ERROR_CODE_WATCHDOG: return "no progress";
    case SYSTOLITH_ERROR_CODE_TOKEN_OVERFLOW: return "token counter full";
    case SYSTOLITH_ERROR_CODE_OUT_OF_RANGE: return "access outside the image";
    default: return "unknown error";
    }
}

const char *systolith_engine_name(uint32_t engine)
{
    static const char *const names[] = {"LOAD", "COMPUTE", "VECTOR", "STORE"};

    return engine < 4 ? names[engine] : engine == 15 ? "command processor" : "unknown engine";
}

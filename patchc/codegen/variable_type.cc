#include "patchc/codegen/variable_type.h"

#include <llvm/BinaryFormat/Dwarf.h>
#include <llvm/IR/DerivedTypes.h>
#include <llvm/Support/Casting.h>
#include <llvm/Support/raw_ostream.h>

#include "absl/strings/str_cat.h"

namespace mend::patchc {
namespace {

// By value nothing contains itself; damaged input might.
constexpr int kDepthMax = 64;

std::string Text(llvm::StringRef text) { return text.str(); }

// What a pointer points to.
std::string NameOf(const llvm::DIType* type, int depth) {
  if (type == nullptr) return "void";
  if (depth > kDepthMax) return "?";
  if (const auto* derived = llvm::dyn_cast<llvm::DIDerivedType>(type)) {
    if (derived->getTag() == llvm::dwarf::DW_TAG_typedef) {
      return NameOf(derived->getBaseType(), depth + 1);
    }
    return absl::StrCat(derived->getTag(), "(", NameOf(derived->getBaseType(), depth + 1), ")");
  }
  if (const auto* composite = llvm::dyn_cast<llvm::DICompositeType>(type)) {
    const std::string inner = composite->getTag() == llvm::dwarf::DW_TAG_array_type
                                  ? NameOf(composite->getBaseType(), depth + 1)
                                  : Text(composite->getIdentifier());
    return absl::StrCat(composite->getTag(), " ", Text(composite->getName()), " ", inner);
  }
  return absl::StrCat(type->getTag(), " ", Text(type->getName()));
}

std::string Encode(const llvm::DIType* type, int depth);

std::string EncodeElements(const llvm::DICompositeType& type, int depth) {
  std::string text;
  for (const llvm::DINode* element : type.getElements()) {
    if (const auto* range = llvm::dyn_cast<llvm::DISubrange>(element)) {
      const auto* count = llvm::dyn_cast_if_present<llvm::ConstantInt*>(range->getCount());
      absl::StrAppend(&text, "[", count != nullptr ? count->getSExtValue() : -1, "]");
    }
    const auto* member = llvm::dyn_cast<llvm::DIDerivedType>(element);
    if (member == nullptr || member->isStaticMember()) continue;
    if (member->getTag() != llvm::dwarf::DW_TAG_member &&
        member->getTag() != llvm::dwarf::DW_TAG_inheritance) {
      continue;
    }
    absl::StrAppend(&text, Text(member->getName()), "@", member->getOffsetInBits(), ":",
                    member->getSizeInBits(), "=", Encode(member->getBaseType(), depth + 1), ";");
  }
  return text;
}

std::string Encode(const llvm::DIType* type, int depth) {
  if (type == nullptr) return "void";
  if (depth > kDepthMax) return "?";
  const unsigned tag = type->getTag();
  if (const auto* derived = llvm::dyn_cast<llvm::DIDerivedType>(type)) {
    switch (tag) {
      case llvm::dwarf::DW_TAG_pointer_type:
      case llvm::dwarf::DW_TAG_reference_type:
      case llvm::dwarf::DW_TAG_rvalue_reference_type:
      case llvm::dwarf::DW_TAG_ptr_to_member_type:
        return NameOf(derived, depth);
      case llvm::dwarf::DW_TAG_typedef:
        return Encode(derived->getBaseType(), depth + 1);
      default:
        return absl::StrCat(tag, "(", Encode(derived->getBaseType(), depth + 1), ")");
    }
  }
  std::string text = absl::StrCat(tag, " ", Text(type->getName()), " ", type->getSizeInBits());
  if (const auto* composite = llvm::dyn_cast<llvm::DICompositeType>(type)) {
    if (tag == llvm::dwarf::DW_TAG_array_type) {
      absl::StrAppend(&text, " of ", Encode(composite->getBaseType(), depth + 1));
    }
    // An enumerator more does not change what a value that is there means.
    if (tag != llvm::dwarf::DW_TAG_enumeration_type) {
      absl::StrAppend(&text, "{", EncodeElements(*composite, depth), "}");
    }
  }
  return text;
}

}  // namespace

std::string EncodeSourceType(const llvm::DIType* type) { return Encode(type, 0); }

std::string EncodeIrType(const llvm::Type* type) {
  if (const auto* array = llvm::dyn_cast<llvm::ArrayType>(type)) {
    return absl::StrCat("[", array->getNumElements(), "x", EncodeIrType(array->getElementType()),
                        "]");
  }
  if (const auto* record = llvm::dyn_cast<llvm::StructType>(type)) {
    std::string text = record->isPacked() ? "<{" : "{";
    if (record->isOpaque()) absl::StrAppend(&text, Text(record->getName()));
    for (const llvm::Type* element : record->elements()) {
      absl::StrAppend(&text, EncodeIrType(element), ",");
    }
    return text + "}";
  }
  std::string text;
  llvm::raw_string_ostream stream(text);
  type->print(stream);
  return text;
}

}  // namespace mend::patchc
